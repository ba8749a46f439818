"""From a reset to a protocol: the ATR's parameters, PPS, conventions, on both sides, in virtual time."""

from __future__ import annotations

import pytest

from atr_maker import make_atr
from line_script import play
from opentsm_card.atr import Atr
from opentsm_card.errors import CardRemovedError, LinkTimeoutError, ProtocolError, TransportError
from opentsm_card.transmission import CardSide, activate, exchange_t0, perform
from opentsm_card.transmission.activation import read_atr
from opentsm_card.transmission.events import INVERSE, SetInverse
from opentsm_card.transmission.parameters import TransmissionParameters, rate_of
from opentsm_card.transmission.pps import Pps, answer, negotiate
from opentsm_card.transmission.t1 import T1Reader, T1Times
from opentsm_simulator.uart_faults import Faults
from virtual_uart import CLOCK_HZ, ScriptCard, VirtualPort

ETU = 1 / 9600
SELECT = bytes.fromhex("00A40400023F00")


def parameters(*groups: str) -> TransmissionParameters:
    return TransmissionParameters.from_atr(Atr.parse(make_atr(*groups)))


class TestParameters:
    def test_a_card_that_says_nothing(self) -> None:
        said = parameters()
        assert said == TransmissionParameters()
        assert said.rate == (372, 1)
        assert said.wait_s(CLOCK_HZ) == pytest.approx(1.0)
        assert said.block_wait_s(ETU, CLOCK_HZ) == pytest.approx((11 + 16 * 960) * ETU)
        assert said.character_wait_s(ETU) == pytest.approx((11 + 8192) * ETU)
        assert said.extra_guard_s(CLOCK_HZ, rate=(372, 1)) == 0

    def test_a_card_that_says_all(self) -> None:
        said = parameters("A94 C02 D0", "C14 D1", "AFE B25 C01")
        assert said == TransmissionParameters((0, 1), 0x94, None, 2, False, 20, 254, 2, 5, crc=True)
        assert said.rate == (512, 8)
        assert said.wait_s(CLOCK_HZ) == pytest.approx(20 * 960 * 512 / CLOCK_HZ)
        assert said.block_wait_s(ETU, CLOCK_HZ) == pytest.approx((11 + 4 * 960) * ETU)
        assert said.character_wait_s(ETU) == pytest.approx(43 * ETU)
        assert said.extra_guard_s(CLOCK_HZ, rate=(512, 8)) == pytest.approx(2 * 64 / CLOCK_HZ)

    def test_what_belongs_to_other_protocols_is_not_t_1_s(self) -> None:
        # T=1 is named by TD1 already: its bytes are those behind the first TD(i-1) with i from 3.
        assert parameters("D1", "D1", "A20").ifsc == 0x20
        assert parameters("D0", "DF", "A55").ifsc == 32

    def test_where_t_15_is_named_n_counts_at_the_rate_of_ta1(self) -> None:
        assert parameters("A94 C02 D0", "DF").extra_guard_s(CLOCK_HZ, rate=(372, 1)) == pytest.approx(128 / CLOCK_HZ)
        assert parameters("A94 C02 D0", "D1").extra_guard_s(CLOCK_HZ, rate=(372, 1)) == pytest.approx(744 / CLOCK_HZ)

    def test_a_reserved_ta1_does_not_matter_to_n(self) -> None:
        assert parameters("A71 C02 D0", "DF").extra_guard_s(CLOCK_HZ, rate=(372, 1)) == pytest.approx(744 / CLOCK_HZ)

    def test_n_of_255_is_the_least_guard_time(self) -> None:
        assert parameters("CFF").extra_guard_s(CLOCK_HZ, rate=(372, 1)) == 0

    def test_specific_mode(self) -> None:
        assert parameters("A94 D1", "A01").specific == 1
        with pytest.raises(ProtocolError, match="TA2"):
            parameters("A94 D1", "A11")

    @pytest.mark.parametrize(
        ("groups", "told"),
        [(("D0", "C00"), "WI 0"), (("D1", "D1", "A00"), "IFSC 0"), (("D1", "D1", "AFF"), "IFSC 255"),
         (("D1", "D1", "BA0"), "BWI 10")],
    )  # fmt: skip
    def test_reserved_values(self, groups: tuple[str, ...], told: str) -> None:
        with pytest.raises(ProtocolError, match=told):
            parameters(*groups)

    def test_reserved_rates(self) -> None:
        with pytest.raises(ProtocolError, match="71 names a reserved rate"):
            rate_of(0x71)


class TestPps:
    @pytest.mark.parametrize("pps", [Pps(0), Pps(1, 0x95), Pps(14, 0x11, 1, 2), Pps(1, None, 3)])
    def test_it_comes_back_and_is_refused_at_every_cut_and_turn(self, pps: Pps) -> None:
        encoded = pps.encode()
        assert Pps.parse(encoded) == pps
        for end in range(len(encoded)):
            with pytest.raises(ProtocolError):
                Pps.parse(encoded[:end])
        for position in range(len(encoded)):
            with pytest.raises(ProtocolError):
                Pps.parse(encoded[:position] + bytes((encoded[position] ^ 0x81,)) + encoded[position + 1 :])

    def test_the_card_agrees(self) -> None:
        assert play(negotiate(1, 0x95, ETU), ["> FF11957B", "< FF11957B"]) == (512, 16)
        assert play(negotiate(1, 0x11, ETU), ["> FF01FE", "< FF01FE"]) == (372, 1)

    def test_the_card_keeps_to_the_default_rate(self) -> None:
        assert play(negotiate(1, 0x95, ETU), ["> FF11957B", "< FF01FE"]) == (372, 1)

    @pytest.mark.parametrize(
        ("heard", "told"),
        [
            ("-", "does not answer PPS"),
            ("< FF00FF", "not what was asked"),
            ("< FF119478", "PCK"),
            ("< FF11947A", "not what was asked"),
            ("< FF2101DF", "not what was asked"),
            ("< FF", "wanted"),
            ("< 6D00", "PPSS"),
        ],
    )
    def test_the_card_does_not_agree(self, heard: str, told: str) -> None:
        with pytest.raises(TransportError, match=told):
            play(negotiate(1, 0x95, ETU), ["> FF11957B", heard])

    @pytest.mark.parametrize(
        ("asked", "answered", "rate"),
        [
            (Pps(1, 0x95), Pps(1, 0x95), (512, 16)),
            (Pps(1, 0x94), Pps(1, 0x94), (512, 8)),
            (Pps(1), Pps(1), (372, 1)),
            (Pps(1, 0x96), Pps(1), (372, 1)),
            (Pps(1, 0x95, 1), Pps(1, 0x95), (512, 16)),
        ],
    )
    def test_a_card_s_answer(self, asked: Pps, answered: Pps, rate: tuple[int, int]) -> None:
        assert answer(asked.encode(), (0, 1), 0x95) == (answered, rate)

    def test_what_a_card_does_not_answer(self) -> None:
        for request in (Pps(2).encode(), Pps(1, 0x71).encode(), b"\xff\x01\x00", b"\xff"):
            assert answer(request, (0, 1), 0x95) is None


class TestAtr:
    def test_cut_at_every_offset(self) -> None:
        whole = make_atr("A94 C02 D0", "C14 D1", "AFE B25", historical=b"opentsm")
        for end in range(1, len(whole)):
            script = [f"< {whole[:end].hex()}", "-"]
            with pytest.raises(LinkTimeoutError, match=f"stops behind {whole[:end].hex().upper()}"):
                play(read_atr(ETU), script)
        with pytest.raises(CardRemovedError, match="no answer to reset"):
            play(read_atr(ETU), ["-"])

    @pytest.mark.parametrize(
        ("heard", "told"),
        [("C0", "begins with C0"), ("3B8001" + "00", "check byte"), ("3B" + "F0FFFFFFF0" + "FFFFFFF0" * 8, "none")],
    )
    def test_what_is_none(self, heard: str, told: str) -> None:
        with pytest.raises(TransportError, match=told):
            play(read_atr(ETU), [f"< {heard}"])

    def test_a_glitch_of_the_reset_line_is_passed_over(self) -> None:
        found = play(read_atr(ETU), ["< 00", "< 3B00"])
        assert found is not None
        assert found.raw == bytes.fromhex("3B00")


def activated(atr: bytes, **how: bool | int | None) -> tuple[VirtualPort, bytes]:
    """Bring up a virtual card, and return its port and how it answers SELECT."""
    port = VirtualPort(atr, ScriptCard(lambda _command: bytes.fromhex("6F009000")))
    active = perform(activate(CLOCK_HZ, **how), port, 30)  # type: ignore[arg-type]
    assert active.atr == atr
    if active.t1 is not None:
        return port, perform(active.t1.exchange(SELECT), port, 30)
    return port, perform(exchange_t0(SELECT, active.wait_s, active.extra_guard_s, active.turn_s), port, 30)


class TestActivation:
    @pytest.mark.parametrize("inverse", [False, True])
    @pytest.mark.parametrize(
        ("groups", "how", "answered"),
        [
            ((), {}, "6102"),
            (("D1",), {}, "6F009000"),
            (("A94 C03 D0", "D1"), {}, "6102"),
            (("A94 C03 D0", "D1"), {"protocol": 1}, "6F009000"),
            (("A94 C03 D0", "D1"), {"protocol": 1, "fast": True}, "6F009000"),
            (("A95",), {"fast": True}, "6102"),
            (("A95 D1", "A01"), {}, "6F009000"),
            (("A95 D1", "D1", "AFE B14 C01"), {"fast": True}, "6F009000"),
        ],
    )
    def test_both_sides_end_up_with_the_same(
        self, groups: tuple[str, ...], how: dict[str, bool | int | None], answered: str, *, inverse: bool
    ) -> None:
        _, answer = activated(make_atr(*groups, inverse=inverse), **how)
        assert answer.hex().upper() == answered

    def test_a_higher_rate_is_faster(self) -> None:
        slow, _ = activated(make_atr("A95 D1"))
        fast, _ = activated(make_atr("A95 D1"), fast=True)
        assert fast.now() < slow.now()

    def test_inverse_convention_is_its_own_inverse(self) -> None:
        assert INVERSE[0x3F] == 0x03
        assert bytes(range(256)).translate(INVERSE).translate(INVERSE) == bytes(range(256))
        conversation = CardSide(make_atr(inverse=True), CLOCK_HZ).serve()
        assert SetInverse() in [next(conversation) for _ in range(2)]

    @pytest.mark.parametrize(
        ("groups", "protocol", "told"),
        [
            ((), 1, "offers T=0, not T=1"),
            (("D1",), 0, "offers T=1, not T=0"),
            (("D2",), None, "offers T=2, not T=0 or T=1"),
            (("A11 D0", "A01"), 0, "offers T=1, not T=0"),
            (("A11 D1", "A11"), None, "TA2"),
            (("D1", "D1", "A00"), None, "IFSC"),
        ],
    )
    def test_what_can_not_be_spoken(self, groups: tuple[str, ...], protocol: int | None, told: str) -> None:
        script = [f"< {make_atr(*groups).hex()}"]
        with pytest.raises(TransportError, match=told):
            play(activate(CLOCK_HZ, protocol=protocol), script)

    def test_a_card_must_offer_one_that_can_be_spoken(self) -> None:
        with pytest.raises(ProtocolError, match="neither"):
            _ = CardSide(make_atr("D2"), CLOCK_HZ).parameters

    def test_no_conversation_lasts_longer_than_it_may(self) -> None:
        for groups in ((), ("D1",)):
            port = VirtualPort(make_atr(*groups), ScriptCard(seconds=lambda _command: 1000.0))
            active = perform(activate(CLOCK_HZ), port, 30)
            conversation = exchange_t0(SELECT, active.wait_s) if active.t1 is None else active.t1.exchange(SELECT)
            begin = port.now()
            with pytest.raises(LinkTimeoutError, match="within 30 s"):
                perform(conversation, port, 30)
            assert port.now() - begin == pytest.approx(30, abs=0.1)

    @pytest.mark.parametrize("byte", [0x60, 0x00, 0xFF, 0xC3])
    def test_nor_with_a_line_that_never_falls_silent(self, byte: int) -> None:
        class Stuck(VirtualPort):
            def receive(self, count: int, first_s: float, next_s: float, *, until: float, checked: bool) -> bytes:
                del first_s, next_s, until, checked
                self._now += count * 0.001
                return bytes((byte,)) * count

        port = Stuck(make_atr(), ScriptCard())
        t1 = T1Reader(T1Times(1.0, 0.1), 32, crc=False)
        for conversation in (activate(CLOCK_HZ), exchange_t0(SELECT, 1.0), t1.exchange(SELECT)):
            begin = port.now()
            with pytest.raises(TransportError):
                perform(conversation, port, 30)
            assert port.now() - begin < 31

    def test_a_slow_command_is_waited_for(self) -> None:
        for groups in ((), ("D1",)):
            card = ScriptCard(seconds=lambda _command: 20.0)
            port = VirtualPort(make_atr(*groups), card)
            active = perform(activate(CLOCK_HZ), port, 30)
            conversation = exchange_t0(SELECT, active.wait_s) if active.t1 is None else active.t1.exchange(SELECT)
            assert perform(conversation, port, 30)
            assert card.run == [SELECT]

    @pytest.mark.parametrize(("n", "etu"), [("02", 2), ("FF", 0)])
    def test_pps_is_given_the_guard_time_that_the_card_wants(self, n: str, etu: int) -> None:
        sent = []

        class Watched(VirtualPort):
            def send(self, data: bytes, extra_guard_s: float, *, after_s: float, checked: bool) -> None:
                sent.append((data[:1], extra_guard_s))
                super().send(data, extra_guard_s, after_s=after_s, checked=checked)

        port = Watched(make_atr(f"A95 C{n} D1", "D1"), ScriptCard())
        perform(activate(CLOCK_HZ, fast=True), port, 30)
        (_, guard_s), *_ = [one for one in sent if one[0] == b"\xff"]
        assert guard_s == pytest.approx(etu * ETU)

    def test_a_card_that_was_not_given_pps_right_is_deaf(self) -> None:
        port = VirtualPort(make_atr("A95 D0", "D1"), ScriptCard(), Faults.parse("corrupt@9"))
        with pytest.raises(TransportError, match="does not answer PPS"):
            perform(activate(CLOCK_HZ, protocol=1), port, 30)

    @pytest.mark.parametrize(("groups", "etu"), [((), 6), (("D1",), 12), (("A95 D1", "A01"), 12)])
    def test_the_line_is_silent_before_it_changes_direction(self, groups: tuple[str, ...], etu: int) -> None:
        port, _ = activated(make_atr(*groups))
        assert len(port.turns_etu) >= 2
        assert min(port.turns_etu) >= etu - 1e-6
