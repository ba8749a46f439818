"""SIGKILL of a host of virtual SEs, at random moments: nothing that was answered is lost, nothing is half done."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from opentsm_simulator.cli import se


@pytest.mark.timeout(1200)
def test_every_se_comes_back_as_it_had_answered() -> None:
    result = CliRunner().invoke(se, ["kill-test", "--ses", "10", "--kills", "20", "--json"], catch_exceptions=False)
    report = json.loads(result.stdout)
    assert report["findings"] == []
    assert result.exit_code == 0
    assert report["kills"] == 20
    # It was killed while commands were under way, and not only then.
    assert report["answered"] >= 20
    assert report["cut_off"] >= 5
    assert report["checks"] >= 100
