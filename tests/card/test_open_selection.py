"""Selection: names, channels, interfaces, and what they end."""

from __future__ import annotations

import pytest

from open_card import A1, A102, ALIAS, B1, D1, ECHO, ISD, LONE, LONE_FILE, OpenCard
from opentsm_card.errors import CardRemovedError


@pytest.fixture
def card() -> OpenCard:
    return OpenCard()


def selected_name(card: OpenCard) -> bytes:
    """Return the AID under which the selected Manager was selected."""
    return card.send("80220000")[0][4:]


def test_the_issuer_domain_is_selected_after_reset(card: OpenCard) -> None:
    assert selected_name(card) == ISD
    card.select(A1)
    card.link.reset()
    assert selected_name(card) == ISD


@pytest.mark.parametrize("command", ["00A40400", "00A4040000", "00A4040C"])
def test_no_name_selects_the_issuer_domain(card: OpenCard, command: str) -> None:
    card.select(A1)
    assert card.raw(bytes.fromhex(command)) == (b"", 0x9000)
    assert selected_name(card) == ISD


def test_the_old_name_of_the_issuer_domain_selects_it(card: OpenCard) -> None:
    assert card.select(ALIAS) == 0x9000
    assert selected_name(card) == ALIAS
    assert card.select(ALIAS[:7]) == 0x9000
    assert selected_name(card) == ISD
    assert card.select(ALIAS[:4]) == 0x6A82
    assert card.select(ALIAS + b"\x00") == 0x6A82


def test_a_part_of_a_name_selects_the_first_and_the_next_ones(card: OpenCard) -> None:
    assert card.select(bytes.fromhex("F0000000")) == 0x9000
    seen = [card.selected()]
    assert card.select(bytes.fromhex("F0000000"), p2=2) == 0x9000
    seen.append(card.selected())
    assert seen == [A1, A102]
    assert card.select(bytes.fromhex("F0000000"), p2=2) == 0x9000
    assert card.select(bytes.fromhex("F0000000"), p2=2) == 0x9000
    assert selected_name(card) == D1
    assert card.select(bytes.fromhex("F0000000"), p2=2) == 0x6A82
    assert selected_name(card) == D1


def test_a_full_name_is_found_before_names_that_begin_with_it(card: OpenCard) -> None:
    assert card.install(A102[:5] + b"\x02\x01") == 0x9000
    assert card.install(A102[:5] + b"\x02\x01\x01") == 0x9000
    assert card.select(A102) == 0x9000
    assert card.selected() == A102
    assert card.select(A102, p2=2) == 0x9000
    assert card.selected() == A102 + b"\x01"


def test_a_name_of_nothing_leaves_the_selection(card: OpenCard) -> None:
    card.select(A1)
    assert card.select(bytes.fromhex("F00000FF00")) == 0x6A82
    assert card.select(bytes(17)) == 0x6700
    assert card.send("00A40401", A1)[1] == 0x6A86
    assert card.send("00A40410", A1)[1] == 0x6A86
    assert card.selected() == A1


def test_a_name_of_nothing_is_what_is_selected_to_answer(card: OpenCard) -> None:
    """6.4.2.1.2; JCRE 3.0.5, 4.5.2: it may know names of its own. A next one that is not there the OPEN answers."""
    assert card.select(B1) == 0x9000
    unknown = bytes.fromhex("F00000FF00")
    assert card.send("00A40400", unknown) == (b"\x00" + unknown, 0x9000)
    assert card.send("00A40402", unknown) == (b"", 0x6A82)
    assert card.send("80000000", b"\xaa") == (b"\x80\xaa", 0x9000)  # it is selected still


def test_load_files_and_modules_cannot_be_selected(card: OpenCard) -> None:
    assert card.select(ECHO) == 0x6A82
    assert card.select(LONE_FILE) == 0x6A82


def test_an_application_that_refuses_leaves_nothing_selected(card: OpenCard) -> None:
    card.select(A1)
    card.send("800EEE00")
    assert card.select(A1) == 0x6999
    assert card.send("80000000") == (b"", 0x6985)
    assert card.select(ISD) == 0x9000


def test_selecting_tells_the_applet(card: OpenCard) -> None:
    card.select(A1)
    card.select(ISD)
    card.select(A1)
    assert card.send("80020000")[0][5:7] == b"\x02\x01"


class TestChannels:
    def test_the_card_chooses_a_channel(self, card: OpenCard) -> None:
        numbers = [card.send("0070000001")[0] for _ in range(19)]
        assert numbers == [bytes((number,)) for number in range(1, 20)]
        assert card.send("0070000001") == (b"", 0x6A81)

    def test_the_host_chooses_a_channel(self, card: OpenCard) -> None:
        assert card.send("00700013") == (b"", 0x9000)
        assert card.send("00700013") == (b"", 0x6A86)
        assert card.send("00700014") == (b"", 0x6A86)
        assert card.select(A1, channel=19) == 0x9000
        assert card.send("CF0C0000") == (A1, 0x9000)
        assert card.send("CF020000")[0][:2] == b"\x13\x13"

    def test_a_closed_channel_answers_nothing(self, card: OpenCard) -> None:
        assert card.send("01A40400") == (b"", 0x6881)
        card.send("0070000001")
        assert card.send("00708001") == (b"", 0x9000)
        assert card.send("01A40400") == (b"", 0x6881)
        assert card.send("00708001") == (b"", 0x6200)

    def test_selecting_a_name_opens_a_closed_channel(self, card: OpenCard) -> None:
        """JCRE 3.0.5, 4.5.2: a SELECT of what is there opens the channel that its class names."""
        for channel in (1, 4, 19):
            assert card.select(bytes.fromhex("F00000FF00"), channel=channel) == 0x6A82
            assert card.send(f"{channel if channel < 4 else 0x40 | channel - 4:02X}A40400")[1] == 0x6881  # still closed
            assert card.select(A1, channel=channel) == 0x9000
            assert card.send(f"007000{channel:02X}") == (b"", 0x6A86)
            assert card.send(f"007080{channel:02X}") == (b"", 0x9000)
        card.select(A1)
        card.send("800EEE00")  # from now on it refuses
        assert card.select(A1, channel=2) == 0x6999
        assert card.send("02A40400") == (b"", 0x6881)
        assert card.select(ISD) == 0x9000
        card.set_card_state(0x7F)
        assert card.select(ISD, channel=2) == 0x6881

    def test_a_channel_closes_itself_and_the_basic_one_stays(self, card: OpenCard) -> None:
        card.send("0070000001")
        assert card.send("01708000") == (b"", 0x9000)
        assert card.send("00708000") == (b"", 0x6A86)
        assert card.send("00708014") == (b"", 0x6A86)
        assert card.send("00704000") == (b"", 0x6A86)
        assert card.send("00700000", b"\x01") == (b"", 0x6700)

    def test_each_channel_has_a_selection_of_its_own(self, card: OpenCard) -> None:
        card.send("0070000001")
        card.select(A1)
        card.select(A102, channel=1)
        assert (card.selected(0), card.selected(1)) == (A1, A102)

    def test_a_channel_opened_from_the_basic_one_begins_with_the_issuer_domain(self, card: OpenCard) -> None:
        card.select(A1)
        card.send("0070000001")
        assert card.send("81210000") == (b"\x00", 0x9000)

    def test_a_channel_opened_from_another_begins_with_its_selection(self, card: OpenCard) -> None:
        card.send("0070000001")
        card.select(A102, channel=1)
        assert card.send("0170000001") == (b"\x02", 0x9000)
        assert card.selected(2) == A102

    def test_what_is_not_multiselectable_is_active_once(self, card: OpenCard) -> None:
        card.send("0070000001")
        assert card.install(bytes.fromhex("F0000000B2"), module=LONE, load_file=LONE_FILE) == 0x9000
        assert card.select(B1, channel=1) == 0x9000
        assert card.select(B1) == 0x6985
        assert card.select(bytes.fromhex("F0000000B2")) == 0x6985
        assert card.send("0170000001") == (b"", 0x6985)
        assert card.select(A1) == 0x9000
        card.send("00708001")
        assert card.select(B1) == 0x9000

    def test_a_selection_is_in_force_until_its_channel_selects_again(self, card: OpenCard) -> None:
        first = card.send("80220000")[0][:4]
        card.send("0070000001")
        other = card.send("81220000")[0][:4]
        assert card.send("80230000", other)[0] == b"\x01"
        card.send("00708001")
        assert card.send("80230000", other)[0] == b"\x00"
        assert card.send("80230000", first)[0] == b"\x01"
        card.select(ISD)
        assert card.send("80230000", first)[0] == b"\x00"


class TestMemory:
    def test_memory_is_cleared_by_deselection_and_by_reset(self, card: OpenCard) -> None:
        card.select(A1)
        for _ in range(2):
            card.send("80020000")
        assert card.send("80020000")[0][3:5] == b"\x02\x02"
        card.select(ISD)
        card.select(A1)
        assert card.send("80020000")[0][3:5] == b"\x00\x03"
        card.link.reset()
        card.select(A1)
        assert card.send("80020000")[0][3:5] == b"\x00\x00"

    def test_deselection_clears_nobody_elses_memory(self, card: OpenCard) -> None:
        card.send("0070000001")
        card.select(A1)
        card.select(A102, channel=1)
        card.send("80020000")
        card.send("81020000")
        card.select(ISD)
        assert card.send("81020000")[0][3] == 1

    def test_memory_stays_while_the_application_is_active_on_another_channel(self, card: OpenCard) -> None:
        card.send("0070000001")
        card.select(A1)
        card.select(A1, channel=1)
        card.send("80020000")
        card.select(ISD)
        assert card.send("81020000")[0][3] == 1


class TestInterfaces:
    def test_the_interfaces_do_not_disturb_each_other(self, card: OpenCard) -> None:
        other = OpenCard(card.se, "contactless")
        card.select(A102)
        other.select(A1)
        card.send("0070000001")
        assert other.send("81000000") == (b"", 0x6881)
        assert (card.selected(), other.selected()) == (A102, A1)
        other.link.reset()
        assert card.selected() == A102

    def test_the_applet_is_told_the_medium(self, card: OpenCard) -> None:
        other = OpenCard(card.se, "contactless")
        card.select(A1)
        other.select(A1)
        assert card.send("80020000")[0][2] == 0x00
        assert other.send("80020000")[0][2] == 0x80

    def test_only_what_is_activated_is_selectable_without_contact(self, card: OpenCard) -> None:
        other = OpenCard(card.se, "contactless")
        assert other.select(A102) == 0x6A82
        assert card.set_contactless(A102, 1) == 0x9000
        assert other.select(A102) == 0x9000
        assert card.set_contactless(A102, 0) == 0x9000
        assert other.send("80000000") == (b"", 0x6985)
        assert other.select(A102) == 0x6A82
        assert other.select(D1) == 0x9000

    def test_a_reset_keeps_the_memory_that_the_other_interface_uses(self, card: OpenCard) -> None:
        other = OpenCard(card.se, "contactless")
        other.select(A1)
        other.send("80020000")
        card.link.reset()
        assert other.send("80020000")[0][3:5] == b"\x01\x01"

    def test_an_application_can_be_selected_implicitly(self, card: OpenCard) -> None:
        contactless_basic = bytes.fromhex("EF03CF0180")
        assert card.update(A1, parameters=contactless_basic) == 0x9000
        other = OpenCard(card.se, "contactless")
        assert other.selected() == A1
        card.link.reset()
        assert selected_name(card) == ISD

    def test_the_default_selected_application_takes_the_issuers_place(self, card: OpenCard) -> None:
        assert card.update(A102, privileges=bytes.fromhex("040000")) == 0x9000
        card.link.reset()
        assert card.selected() == A102
        card.select(ISD)
        assert card.update(A1, privileges=bytes.fromhex("040000")) == 0x6985


def test_a_closed_link_is_a_removed_card(card: OpenCard) -> None:
    card.link.close()
    card.link.close()
    with pytest.raises(CardRemovedError):
        card.link.transmit(b"\x00\xa4\x04\x00")
    with pytest.raises(CardRemovedError):
        card.link.reset()
