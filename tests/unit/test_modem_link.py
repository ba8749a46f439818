"""The modem link and the virtual modem in virtual time: every quirk, every fault, thousands of corruptions."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from modem_line import CountingCard, VirtualPort, open_link_to
from opentsm_agent.links import check_uri
from opentsm_agent.links.modem import UNKNOWN_ATR
from opentsm_agent.links.modem_port import find_modems
from opentsm_agent.links.modem_settings import ModemSettings
from opentsm_card.errors import CardRemovedError, LinkTimeoutError, ProtocolError, TransportError
from opentsm_card.modem import QUIRKS, ModemEntry, known_modems
from opentsm_simulator.modem import STANDARD, find_modem
from opentsm_simulator.modem_faults import ModemFaults

if TYPE_CHECKING:
    from opentsm_agent.links.modem_port import ModemPort

ECHO = bytes.fromhex("8010000003AABBCC00")
ECHOED = bytes.fromhex("AABBCC9000")
TIMEOUT_S = 5.0
# Opening synchronizes with patience; then each exchange has its time-out.
LONGEST_S = 120.0

# How the card behind each quirk is reached when everything is tried in order.
WAYS = {"no-ccho": "csim", "ccho-fails": "csim"}


class TestWays:
    @pytest.mark.parametrize("query", ["", "?apdu=csim", "?apdu=ccho", "?apdu=basic"])
    def test_a_command_with_data_both_ways_and_the_longest_answer(self, query: str) -> None:
        card = CountingCard()
        with open_link_to(VirtualPort(card), query) as link:
            assert link.transmit(ECHO) == ECHOED
            assert link.transmit(bytes.fromhex("8012000000")) == bytes(256) + b"\x90\x00"
            assert link.transmit(bytes.fromhex("8012000005")) == bytes(5) + b"\x90\x00"
            assert link.reset() == UNKNOWN_ATR
            assert link.transmit(ECHO) == ECHOED
        assert card.open == set()
        assert len([command for command in card.ran if command[1] == 0x10]) == 2

    @pytest.mark.parametrize("quirk", QUIRKS)
    def test_each_quirk_is_coped_with(self, quirk: str) -> None:
        card = CountingCard()
        entry = ModemEntry("A modem", "unknown to the table", "", (quirk,))
        with open_link_to(VirtualPort(card, entry)) as link:
            assert link.way == WAYS.get(quirk, "ccho")
            assert link.transmit(ECHO) == ECHOED
        assert card.open == set()

    @pytest.mark.parametrize(
        ("quirks", "way"),
        [
            (("no-ccho", "csim-no-open"), "basic"),
            (("no-ccho", "csim-basic-only"), "basic"),
            (("ccho-fails", "csim-basic-only", "word-errors", "chatty", "echo-stays", "bare-cr"), "basic"),
            (("ccho-fails", "no-space", "no-quotes", "chatty", "echo-stays", "no-test"), "csim"),
        ],
    )
    def test_quirks_together(self, quirks: tuple[str, ...], way: str) -> None:
        card = CountingCard()
        with open_link_to(VirtualPort(card, ModemEntry("A", "B", "", quirks))) as link:
            assert link.way == way
            assert link.transmit(ECHO) == ECHOED
        assert card.open == set()

    @pytest.mark.parametrize("entry", known_modems(), ids=lambda entry: entry.model)
    def test_each_modem_of_the_table_is_known_by_its_answer(self, entry: ModemEntry) -> None:
        assert find_modem(entry.model) == entry
        port = VirtualPort(CountingCard(), entry)
        with open_link_to(port) as link:
            assert entry.model in link.modem
            assert link.way == entry.ways[0]
            assert link.transmit(ECHO) == ECHOED

    def test_the_handle_is_not_the_channel(self) -> None:
        card = CountingCard()
        card.open = {1, 2}
        port = VirtualPort(card)
        with open_link_to(port, "?apdu=ccho") as link:
            link.transmit(ECHO)
        assert card.ran[0][0] == 0x83
        assert b'AT+CGLA=58,16,"8010000003AABBCC"\r' in port.sent
        assert b"AT+CCHC=58\r" in port.sent
        assert card.open == {1, 2}

    @pytest.mark.parametrize("channel", [1, 3, 4, 17])
    def test_the_modem_knows_channels_beyond_three(self, channel: int) -> None:
        # Hosts that end without closing their sessions leave the card with high numbers to give.
        class High(CountingCard):
            def transmit(self, command: bytes) -> bytes:
                if command[1] == 0x70:
                    return bytes((channel, 0x90, 0x00)) if command[2] == 0 else b"\x90\x00"
                self.ran.append(command)
                return b"\x90\x00"

        card = High()
        with open_link_to(VirtualPort(card), "?apdu=ccho") as link:
            link.transmit(bytes.fromhex("8416000001AA"))
        # Class bytes of channel and secure messaging: ISO/IEC 7816-4:2013, 5.4.1.
        plain, secured = (channel, 0x84 | channel) if channel < 4 else (0x40 + channel - 4, 0xE0 + channel - 4)
        assert [command[0] for command in card.ran] == [plain, secured]

    @pytest.mark.parametrize("found", [b"0", b"1"])
    def test_errors_are_left_in_the_form_in_which_they_were_found(self, found: bytes) -> None:
        port = VirtualPort(CountingCard())
        port.modem.feed(b"AT+CMEE=" + found + b"\r")
        with open_link_to(port) as link:
            link.transmit(ECHO)
            assert b"+CMEE: 1" in port.modem.feed(b"AT+CMEE?\r")[0][1]
        assert b"+CMEE: " + found in port.modem.feed(b"AT+CMEE?\r")[0][1]

    def test_a_card_without_a_free_channel_is_reached_on_the_basic_one(self) -> None:
        card = CountingCard(channels=0)
        with open_link_to(VirtualPort(card)) as link:
            assert link.way == "basic"
            assert link.transmit(ECHO) == ECHOED

    def test_a_restart_takes_the_cards_power(self) -> None:
        card = CountingCard()
        with open_link_to(VirtualPort(card), "?reset=cfun") as link:
            link.reset()
            assert card.resets == 1
            assert link.transmit(ECHO) == ECHOED

    def test_no_way_at_all_says_why(self) -> None:
        entry = ModemEntry("A", "B", "", ("ccho-fails",))
        with pytest.raises(TransportError, match=r"gives no access to the card: AT\+CCHO: .* \+CME ERROR: 100"):
            open_link_to(VirtualPort(CountingCard(), entry), "?apdu=ccho")


class TestRefusals:
    @pytest.mark.parametrize("command", ["81CA006600", "0070000001", "C0CA006600", "80CA", "80E20000000102AABB"])
    def test_what_the_link_cannot_carry_is_not_sent(self, command: str) -> None:
        port = VirtualPort(CountingCard())
        with open_link_to(port) as link:
            before = len(port.sent)
            with pytest.raises(ProtocolError):
                link.transmit(bytes.fromhex(command))
            assert len(port.sent) == before
            assert link.transmit(ECHO) == ECHOED

    @pytest.mark.parametrize(
        "address",
        [
            "?apdu=csim",
            "/dev/x?apdu=x",
            "/dev/x?baud=1",
            "/dev/x?a=1",
            "/dev/x?baud=9600&baud=9600",
            "/dev/x?timeout=0",
            "/dev/x?reset=rts",
            "/dev/x?aid=12",
        ],
    )
    def test_an_address_that_makes_no_sense_is_told(self, address: str) -> None:
        with pytest.raises(ProtocolError, match="modem:"):
            check_uri(f"modem:{address}")

    def test_what_an_address_says(self) -> None:
        settings = ModemSettings.parse("/dev/ttyUSB2?apdu=csim&baud=9600&timeout=7&reset=cfun&aid=A000000003000000")
        assert (settings.device, settings.ways, settings.baud) == ("/dev/ttyUSB2", ("csim", "basic"), 9600)
        assert (settings.timeout_s, settings.cfun) == (7, True)
        assert [aid.hex().upper() for aid in settings.aids] == ["A000000003000000"]

    @pytest.mark.parametrize("text", ["drop", "drop@0", "drop@x", "burn@1", "drop@1=2", "delay@1=x", "delay@1=-1"])
    def test_a_fault_that_makes_no_sense_is_told(self, text: str) -> None:
        with pytest.raises(ProtocolError, match="fault"):
            ModemFaults.parse(text)

    def test_a_modem_that_is_not_known_is_told(self) -> None:
        with pytest.raises(ProtocolError, match="no-ccho"):
            find_modem("no-such")


class TestFaults:
    # The lines of an opened CSIM link: AT, ATE0V1, CMEE? with its OK, CMEE; maker and model with their OK; two for the
    # channel, two for the SELECT; two for the command. Line 16 is the first of its GET RESPONSE, which brings the data.
    FIRST = 16

    def open(self, fault: str) -> tuple[CountingCard, VirtualPort]:
        card = CountingCard()
        return card, VirtualPort(card, STANDARD, fault)

    @pytest.mark.parametrize("at", range(1, 22))
    def test_an_unsolicited_code_at_any_line_changes_nothing(self, at: int) -> None:
        card, port = self.open(f"unsolicited@{at}=+CREG: 5")
        with open_link_to(port, "?apdu=csim") as link:
            assert link.transmit(ECHO) == ECHOED
        assert card.open == set()

    @pytest.mark.parametrize("kind", ["drop", "corrupt"])
    @pytest.mark.parametrize("line", [0, 1])
    def test_a_lost_or_spoilt_line_ends_the_link_and_not_the_channel(self, kind: str, line: int) -> None:
        card, port = self.open(f"{kind}@{self.FIRST + line}")
        link = open_link_to(port, "?apdu=csim")
        with pytest.raises(TransportError):
            link.transmit(ECHO)
        assert port.closed
        assert card.open == set()
        assert len(card.ran) == 1
        with pytest.raises(CardRemovedError, match="closed"):
            link.transmit(ECHO)

    @pytest.mark.parametrize("query", ["?apdu=csim", "?apdu=csim&reset=cfun"])
    def test_a_card_that_is_taken_out_under_a_command(self, query: str) -> None:
        card, port = self.open(f"remove@{self.FIRST}")
        link = open_link_to(port, query)
        with pytest.raises(CardRemovedError, match=r"\+CME ERROR: 10"):
            link.transmit(ECHO)
        assert len(card.ran) == 1
        with pytest.raises((CardRemovedError, LinkTimeoutError)):
            open_link_to(port, query)
        assert len(card.ran) == 1

    def test_a_card_without_power_is_given_it_by_switching_the_modem(self) -> None:
        card, port = self.open(f"brownout@{self.FIRST}")
        link = open_link_to(port, "?apdu=csim")
        with pytest.raises(TransportError, match=r"AT\+CSIM: the modem answers \+CME ERROR: 13"):
            link.transmit(ECHO)
        with pytest.raises(TransportError, match="gives no access to the card"):
            open_link_to(port, "?apdu=csim")
        with open_link_to(port, "?apdu=csim&reset=cfun") as again:
            assert again.transmit(ECHO) == ECHOED
        assert card.resets == 1
        assert len(card.ran) == 2
        assert card.open == set()

    @pytest.mark.parametrize(("query", "first"), [("?apdu=csim", FIRST), ("?apdu=ccho", 14)])
    def test_a_card_that_resets_itself_knows_the_channel_no_more(self, query: str, first: int) -> None:
        card, port = self.open(f"reset@{first}")
        with open_link_to(port, query) as link:
            assert link.transmit(ECHO) == ECHOED
            assert link.transmit(ECHO) == b"\x68\x81"
            link.reset()
            assert link.transmit(ECHO) == ECHOED
        assert len(card.ran) == 2
        assert card.open == set()

    def test_silence_is_a_time_out_and_stays_one(self) -> None:
        _, port = self.open(f"stick@{self.FIRST}")
        link = open_link_to(port, "?apdu=csim", TIMEOUT_S)
        began = port.clock
        with pytest.raises(LinkTimeoutError, match=r"\+CSIM: no answer within 5 s"):
            link.transmit(ECHO)
        assert port.clock - began < LONGEST_S
        with pytest.raises(LinkTimeoutError, match="nothing answers AT"):
            open_link_to(port)

    def test_a_late_answer_is_not_the_next_links(self) -> None:
        _, port = self.open(f"delay@{self.FIRST}=40")
        link = open_link_to(port, "?apdu=csim", TIMEOUT_S)
        with pytest.raises(LinkTimeoutError):
            link.transmit(ECHO)
        for _ in range(20):
            try:
                again = open_link_to(port, "?apdu=csim", TIMEOUT_S)
            except TransportError:
                continue
            break
        other = bytes.fromhex("801000000211220000")[:8]
        assert again.transmit(other) == bytes.fromhex("11229000")
        again.close()

    def test_an_answer_that_nothing_asked_for_is_not_believed(self) -> None:
        card, port = self.open("drop@1000")
        link = open_link_to(port, "?apdu=csim")
        port.coming.append((port.clock, b'\r\n+CSIM: 4,"9000"\r\n\r\nOK\r\n'))
        with pytest.raises(TransportError, match="nothing asked for"):
            link.transmit(ECHO)
        assert card.ran == []

    def test_a_modem_without_a_card(self) -> None:
        class Gone(CountingCard):
            def transmit(self, command: bytes) -> bytes:
                raise CardRemovedError(command.hex())

        with pytest.raises(CardRemovedError, match="CME ERROR: 10"):
            open_link_to(VirtualPort(Gone()))


def test_ports_are_found_by_asking() -> None:
    ports = {
        "/dev/a": VirtualPort(CountingCard(), STANDARD, "stick@1"),
        "/dev/b": VirtualPort(CountingCard(), find_modem("EG25")),
    }

    def open_port(device: str, _baud: int) -> ModemPort:
        if device not in ports:
            raise CardRemovedError(device)
        return ports[device]

    assert find_modems(["/dev/none", *ports], open_port=open_port) == [("/dev/b", "Quectel EG25")]
    assert all(port.closed for port in ports.values())


def _spoilt(data: bytes, chance: random.Random) -> bytes:
    spoilt = bytearray(data)
    # Bytes of every kind change, are lost, repeated or added.
    at = chance.randrange(len(spoilt)) if spoilt else 0
    match chance.randrange(6):
        case 0 if spoilt:
            spoilt[at] ^= 1 << chance.randrange(8)
        case 1 if spoilt:
            del spoilt[at]
        case 2:
            spoilt[at:at] = chance.choice((b"\r\n+CREG: 2\r\n", b"\r", b"\n", b"OK\r\n", b"ERROR\r\n", b"\xff", b'"'))
        case 3:
            del spoilt[at:]
        case 4:
            spoilt = bytearray(data * 2)
        case _:
            spoilt[at:at] = chance.randbytes(chance.randrange(1, 8))
    return bytes(spoilt)


@pytest.mark.parametrize("query", ["?apdu=csim", "?apdu=ccho", ""])
def test_thousands_of_corruptions_end_in_success_or_a_clear_error_and_none_hangs(query: str) -> None:
    ended = {"well": 0, "error": 0}
    corruptions = 0
    for seed in range(1200):
        chance = random.Random(seed)
        rate = chance.choice((0.02, 0.1, 0.3))
        quirks = tuple(quirk for quirk in ("chatty", "echo-stays", "bare-session", "no-space") if chance.random() < 0.3)

        def spoil(data: bytes, chance: random.Random = chance, rate: float = rate) -> bytes:
            nonlocal corruptions
            if chance.random() >= rate:
                return data
            corruptions += 1
            return _spoilt(data, chance)

        card = CountingCard()
        port = VirtualPort(card, ModemEntry("A", "B", "", quirks), spoil=spoil)
        sent = 0
        try:
            with open_link_to(port, query, TIMEOUT_S) as link:
                for number in range(5):
                    sent += 1
                    link.transmit(bytes((0x80, 0x10, 0, number, 4)) + chance.randbytes(4) + b"\x00")
            ended["well"] += 1
        except TransportError as error:
            assert str(error).startswith("modem:virtual: ")  # noqa: PT017 - what is raised differs by seed
            ended["error"] += 1
        assert port.closed
        assert port.clock < LONGEST_S
        # Whatever was lost, no command was given twice by the link; what a line repeats is the modem's to run.
        lines = [data for data in port.sent if b"8010" in data or b"8110" in data]
        assert len(set(lines)) == len(lines) <= sent
    assert corruptions > 1200
    assert min(ended.values()) > 100


def test_no_answer_is_ever_taken_for_another_commands() -> None:
    """Lines are lost, late, spoilt visibly or in company, over sessions on one port: what succeeds is right."""
    right = wrong_ends = 0
    for seed in range(800):
        chance = random.Random(seed)
        kinds = ("drop", "corrupt", "unsolicited", f"delay={chance.uniform(0, 30):.1f}", f"delay={TIMEOUT_S}")
        faults = ",".join(
            f"{kind}@{chance.randrange(1, 90)}{equals}{value}"
            for kind, equals, value in (chance.choice(kinds).partition("=") for _ in range(chance.randrange(1, 5)))
        )
        card = CountingCard()
        port = VirtualPort(card, STANDARD, faults)
        given: list[bytes] = []
        for _session in range(4):
            try:
                link = open_link_to(port, chance.choice(("?apdu=csim", "?apdu=ccho")), TIMEOUT_S)
            except TransportError:
                continue
            try:
                for _ in range(3):
                    data = chance.randbytes(4)
                    given.append(data)
                    answer = link.transmit(bytes.fromhex("8010000004") + data + b"\x00")
                    assert answer == data + b"\x90\x00", (seed, faults)
                    right += 1
            except TransportError:
                wrong_ends += 1
            finally:
                link.close()
        # Each ran once at most.
        ran = [command[5:9] for command in card.ran]
        assert len(ran) == len(set(ran)) <= len(given)
    assert right > 3000
    assert wrong_ends > 100
