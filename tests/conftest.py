"""What holds for every test: hypothesis is repeatable, and no test fails because a machine is slow."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("opentsm", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
# For hunting: `pytest --hypothesis-profile=hunt tests/fuzz`
settings.register_profile("hunt", deadline=None, max_examples=20_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("opentsm")
