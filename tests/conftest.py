"""What holds for every test: hypothesis is repeatable, and no test fails because a machine is slow."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# A shell starts what it puts into the background with SIGINT ignored, and every process we start would inherit that:
# a signal with a handler is the default's again behind exec.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("opentsm", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
# For hunting: `pytest --hypothesis-profile=hunt tests/fuzz`
settings.register_profile("hunt", deadline=None, max_examples=20_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("opentsm")
