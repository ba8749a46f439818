"""Whatever a host sends to a virtual SE without keys: an answer comes, nothing is left, and the card lives on."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opentsm_simulator import VirtualSe

ISD = bytes.fromhex("A000000151000000")
INSTRUCTIONS = bytes.fromhex("A4CAF2F0E2E4E6E8D8508270C02A88B0B2A8CB")
AIDS = [ISD, bytes.fromhex("A0000001515350"), bytes.fromhex("325041592E5359532E4444463031"), b"\xf0opentsm\x00\x01"]

classes = st.sampled_from(b"\x00\x80\x84\x04\x01\x81\x0c\x10\x90\x40\xc0\xe0")
data = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(AIDS),
    st.builds(lambda aid: b"\x4f" + bytes((len(aid),)) + aid, st.sampled_from(AIDS)),
    st.binary(min_size=250, max_size=255),
)


def short(header: tuple[int, int, int, int], body: bytes, le: bytes) -> bytes:
    return bytes(header) + (bytes((len(body),)) + body if body else b"") + le


def extended(header: tuple[int, int, int, int], body: bytes, le: bytes) -> bytes:
    return bytes(header) + b"\x00" + len(body).to_bytes(2, "big") + body + le * 2


parameters = st.one_of(st.integers(0, 255), st.sampled_from(b"\x00\x02\x04\x0c\x10\x20\x40\x60\x80\x81\x88\x9f\xdf"))
headers = st.tuples(classes, st.sampled_from(INSTRUCTIONS), parameters, parameters)
commands = st.one_of(
    st.builds(short, headers, data, st.sampled_from([b"", b"\x00", b"\x10"])),
    st.builds(extended, headers, data, st.sampled_from([b"", b"\x00"])),
    st.binary(max_size=300),
)


@pytest.fixture(scope="module", params=["embedded", "uicc"])
def se(request: pytest.FixtureRequest) -> VirtualSe:
    return VirtualSe.create(str(request.param))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(commands, min_size=1, max_size=30), st.sampled_from(["contact", "contactless"]))
def test_without_keys_nothing_is_left_behind(se: VirtualSe, script: list[bytes], interface: str) -> None:
    with se.link("contactless" if interface == "contactless" else "contact") as link:
        for command in script:
            assert len(link.transmit(command)) >= 2
        assert se.effects() == []
        assert link.transmit(b"\x00\xa4\x04\x00\x08" + ISD)[-2:] == b"\x90\x00"
