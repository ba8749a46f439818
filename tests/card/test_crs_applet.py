"""The CRS application's commands (GP Amendment C 1.3, clause 3.11)."""

from __future__ import annotations

from pathlib import Path

import pytest

from contactless_card import LISTENER, MODULE, PACKAGE, A, B, C, ContactlessCard, aids, interaction, protocol
from opentsm_build.build import build_project
from opentsm_build.cap import CapFile
from opentsm_card import tlv
from opentsm_card.aid import Aid
from opentsm_card.contactless import ContactlessParameters
from opentsm_card.crs import CRS_AID, CrsGetStatus, CrsSetStatus, Priority, Undone, parse_entries
from opentsm_card.errors import CardRemovedError
from opentsm_card.install import InstallForInstall
from opentsm_card.install_parameters import InstallParameters
from opentsm_card.lifecycle import ContactlessState
from opentsm_card.privileges import Privilege
from opentsm_card.set_status import SetStatus
from opentsm_simulator import VirtualSe
from sd_host import BANK, CARD_1, CRS, ISD, ISD_KEYS, PPSE, SD_MODULE, SD_PACKAGE, Host, keys

SOURCES = Path(__file__).resolve().parents[2] / "applets" / "crs"

OK, CONDITIONS, WRONG_DATA, NOT_FOUND, P1_P2, MORE, PARTLY = 0x9000, 0x6985, 0x6A80, 0x6A88, 0x6A86, 0x6310, 0x6320
LIST_ALL = "80F24000024F0000"


@pytest.fixture(scope="session")
def crs_cap(tmp_path_factory: pytest.TempPathFactory) -> CapFile:
    """The CRS application as a CAP file, built by the project's own toolchain."""
    return CapFile.read(build_project(SOURCES, tmp_path_factory.mktemp("crs")).cap_path)


@pytest.fixture(params=["built in", "loaded as a CAP file"])
def card(request: pytest.FixtureRequest, crs_cap: CapFile) -> ContactlessCard:
    return ContactlessCard(crs_cap if request.param.startswith("loaded") else None)


NAMES = [bytes.fromhex(f"F0000000E0{number:02X}") for number in range(31)]


def install(card: ContactlessCard, names: list[bytes]) -> None:
    """Install many, in one session."""
    host = card.manager()
    for name in names:
        host.done(InstallForInstall(PACKAGE, MODULE, Aid(name)))


def entries(*answers: tuple[bytes, int]) -> dict[bytes, dict[int, bytes]]:
    """Return what GET STATUS says of each application."""
    found = {}
    for item in tlv.parse_all(b"".join(data for data, _ in answers)):
        assert item.tag == 0x61
        members = {member.tag: member.value for member in item.children()}
        found[members[0x4F]] = members
    return found


class TestSelect:
    """Clauses 3.11.5 and 3.11.6, table 3-30."""

    def test_version_and_global_update_counter(self, card: ContactlessCard) -> None:
        host = Host(card.link)
        first = host.select(CRS).data
        (top,) = tlv.parse_all(first)
        assert (top.tag, tlv.find(top.children(), 0x84)) == (0x6F, CRS)
        proprietary = tlv.parse_all(tlv.find(top.children(), 0xA5) or b"")
        assert tlv.find(proprietary, 0x9F08) == b"\x01\x00"
        counter = tlv.find(proprietary, 0x80)
        assert counter is not None
        assert host.raw(bytes.fromhex("80CA00A500")).data == tlv.encode(0xA5, first[-9:])
        card.install(A)
        card.manager().activate(A)
        host.select(CRS)
        after = tlv.find(tlv.parse_all(host.raw(bytes.fromhex("80CA00A500")).data)[0].children(), 0x80)
        assert after is not None
        assert int.from_bytes(after, "big") > int.from_bytes(counter, "big")

    @pytest.mark.parametrize(
        ("command", "sw"),
        [
            ("80CA006600", NOT_FOUND),
            ("00CA00A500", 0x6E00),
            ("84F24000024F00", 0x6882),
            ("80E20000", 0x6D00),
            ("80F21000024F00", P1_P2),
            ("80F24002024F00", P1_P2),
            ("80F24001024F00", CONDITIONS),  # nothing went before
            ("80F24000", WRONG_DATA),
            ("80F2400001 4F", WRONG_DATA),
            ("80F24000024F01", WRONG_DATA),
            ("80F24000034F0000", WRONG_DATA),
            ("80F24000024F80", WRONG_DATA),
            ("80F24000025C00", WRONG_DATA),  # no 4F
            ("80F24000044F004F00", WRONG_DATA),
            ("80F24000064F00DF010101", WRONG_DATA),  # no criterion
            ("80F24000054F005C019F", WRONG_DATA),  # half a tag
            ("80F03000024F00", P1_P2),
            ("80F00102084F06F000000000A1", P1_P2),
            ("80F00180084F06F000000000A1", P1_P2),  # nobody makes another non-activatable
            ("80F00203084F06F000000000A1", P1_P2),
            ("80F00101", WRONG_DATA),
            ("80F00201", WRONG_DATA),
            ("80F0010107500550000000 0000", WRONG_DATA),  # no 4F
            ("80F00101064F0411223344", WRONG_DATA),
            ("80F00101084F07F000000000A1", WRONG_DATA),
            ("80F0048103800140", P1_P2),
            ("80F0048003800180", WRONG_DATA),  # the contacts can't be switched off
            ("80F0048003810140", WRONG_DATA),
            ("80F00480", WRONG_DATA),
            ("80F08000", CONDITIONS),  # nothing remains
        ],
    )
    def test_what_is_wrong_changes_nothing(self, card: ContactlessCard, command: str, sw: int) -> None:
        card.install(A)
        before = card.se.effects()
        assert card.crs(command.replace(" ", "")) == [(b"", sw)]
        assert card.se.effects() == before


class TestGetStatus:
    """Clause 3.11.3."""

    def test_applications_with_access_to_the_interface_and_their_states(self, card: ContactlessCard) -> None:
        card.install(A)
        card.install(B)
        card.manager().activate(B)
        card.manager().done(SetStatus.lock(B))
        found = entries(*card.crs(LIST_ALL))
        assert {aid: members[0x9F70] for aid, members in found.items()} == {
            PPSE: b"\x07\x01",
            A: b"\x07\x00",
            B: b"\x87\x01",
        }

    def test_all_that_the_registry_knows(self, card: ContactlessCard) -> None:
        display = bytes.fromhex("5F5003757269") + bytes.fromhex("5F44024D4D") + bytes.fromhex("5F45036D7367")
        card.install(LISTENER)
        card.install(
            A,
            protocol((0x80, b"\x81"), (0x83, b"\x01\x02"), (0x84, b"\x01")),
            interaction(
                (0x7F20, display),
                (0xA1, aids(B)),
                (0xA3, aids(LISTENER)),
                (0xA5, aids(C)),
                (0xA6, b"\x50\x01A"),
                (0x87, b"\x20"),
                (0x88, b"\x00"),
            ),
        )
        card.install(B, interaction((0xA0, aids(A))))
        found = entries(*card.crs("80F24000084F06F000000000A100"))[A]
        assert found.pop(0x80)  # the update counter
        assert found == {
            0x4F: A,
            0x9F70: b"\x07\x00",
            0x7F20: display,
            0x81: b"\x03",  # behind the PPSE and the listener
            0xA3: aids(B),
            0xA4: aids(LISTENER),
            0xA5: aids(C),
            0xA6: b"\x50\x01A",
            0x87: b"\x20",
            0x88: b"\x00",
            0x8A: b"\x01",
            0x8B: b"\x01\x02",
            0x8C: b"\x81",
        }
        member = entries(*card.crs("80F24000084F06F000000000B100"))[B]
        assert member[0xA2] == aids(A)
        assert member[0x7F20] == display  # its head's

    @pytest.mark.parametrize(
        ("criteria", "found"),
        [
            ("4F05F000000000", [A, B, C]),
            ("4F06F000000000B1", [B]),
            ("4F009F70020001", [PPSE, B]),  # the first byte is not looked at
            ("4F009F70020700", [A, C]),
            ("4F00870120", [A, B]),
            ("4F00870120880100", [B]),  # both
            ("9F700200014F05F000000000", [B]),  # in any order
        ],
    )
    def test_search_criteria(self, card: ContactlessCard, criteria: str, found: list[bytes]) -> None:
        card.install(A, interaction((0x87, b"\x20"), (0x88, b"\x01")))
        card.install(B, interaction((0x87, b"\x20"), (0x88, b"\x00")))
        card.install(C)
        card.manager().activate(B)
        data = bytes.fromhex(criteria)
        assert list(entries(*card.crs(f"80F24000{len(data):02X}{criteria}00"))) == found

    @pytest.mark.parametrize("criteria", ["4F05F000000001", "4F00870110", "4F009F70020080", "4F009F700101"])
    def test_nothing_found(self, card: ContactlessCard, criteria: str) -> None:
        assert card.crs(f"80F24000{len(criteria) // 2:02X}{criteria}00") == [(b"", NOT_FOUND)]

    def test_a_tag_list_chooses(self, card: ContactlessCard) -> None:
        card.install(A, interaction((0x87, b"\x20")))
        card.install(B)
        found = entries(*card.crs("80F240000A4F05F0000000005C018700"))
        assert found == {A: {0x4F: A, 0x9F70: b"\x07\x00", 0x87: b"\x20"}, B: {0x4F: B, 0x9F70: b"\x07\x00"}}
        # None of them has what is asked for.
        assert card.crs("80F240000A4F05F0000000005C018800") == [(b"", NOT_FOUND)]
        assert entries(*card.crs("80F240000C4F05F0000000005C034F9F7000"))[A] == {0x4F: A, 0x9F70: b"\x07\x00"}

    def test_long_lists_go_on(self, card: ContactlessCard) -> None:
        names = NAMES[:24]
        install(card, names)
        answers = card.crs("80F24000074F05F0000000E000", *["80F24001074F05F0000000E000"] * 3)
        assert [sw for _, sw in answers] == [MORE, MORE, OK, CONDITIONS]
        assert list(entries(*answers[:3])) == names
        assert all(len(data) <= 256 for data, _ in answers)

    def test_an_application_larger_than_a_response_comes_in_pieces(self, card: ContactlessCard) -> None:
        card.install(A)
        card.install(B)
        logo = bytes(range(200))
        for info in (0x04, 0x06):
            assert card.ticket(A).call(0x14, info, logo)[1] == OK
        answers = card.crs("80F24000074F05F00000000000", *["80F24001074F05F00000000000"] * 2)
        assert [sw for _, sw in answers] == [MORE, MORE, OK]
        found = entries(*answers)
        assert found[A][0x7F20] == tlv.encode(0x5F50, logo) + tlv.encode(0x5F44, logo)
        assert list(found) == [A, B]

    def test_another_command_ends_a_list(self, card: ContactlessCard) -> None:
        install(card, NAMES[:24])
        following = "80F24001024F0000"
        assert [sw for _, sw in card.crs(LIST_ALL, "80CA00A500", following)] == [MORE, OK, CONDITIONS]
        assert [sw for _, sw in card.crs(LIST_ALL, "80F0028200", following)] == [MORE, OK, CONDITIONS]

    def test_a_list_belongs_to_its_channel(self, card: ContactlessCard) -> None:
        install(card, NAMES[:24])
        (_, first), (opened, _), *answers = card.crs(
            LIST_ALL, "0070000001", "01A4040009A00000015143525300", "81F24001024F0000"
        )
        assert (first, opened) == (MORE, b"\x01")
        assert [sw for _, sw in answers] == [OK, CONDITIONS]


class TestSetStatus:
    """Clause 3.11.4."""

    def test_a_list_is_worked_off_to_its_end(self, card: ContactlessCard) -> None:
        card.install(A)
        card.install(B, interaction((0xA5, aids(A))))
        card.install(C)
        unknown = bytes.fromhex("F00000000001")
        data = aids(A, unknown, B, C)
        ((answer, sw),) = card.crs(f"80F00101{len(data):02X}{data.hex()}")
        assert sw == PARTLY
        conflicting, failed = tlv.parse_all(answer)
        assert (conflicting.tag, conflicting.value) == (0x61, aids(B) + tlv.encode(0xA0, aids(A)))
        assert (failed.tag, failed.value) == (0xA1, aids(unknown))
        assert [card.state(aid) for aid in (A, B, C)] == [1, 0, 1]
        assert card.crs(f"80F00100{len(aids(A, C)):02X}{aids(A, C).hex()}") == [(b"", OK)]
        assert [card.state(aid) for aid in (A, B, C)] == [0, 0, 0]

    def test_a_member_is_refused_and_its_head_is_not(self, card: ContactlessCard) -> None:
        card.install(A, interaction((0xA1, aids(B))))
        card.install(B, interaction((0xA0, aids(A))))
        assert card.crs("80F00101084F06F000000000B1") == [(tlv.encode(0xA1, aids(B)), PARTLY)]
        assert card.crs("80F00101084F06F000000000A1") == [(b"", OK)]
        assert card.state(B) == 1

    def test_a_long_answer_goes_on(self, card: ContactlessCard) -> None:
        names = NAMES
        (first, sw), *_ = card.crs(f"80F00101F8{aids(*names).hex()}")
        assert sw == PARTLY
        assert tlv.parse_all(first)[0].value == aids(*names)
        card.install(A, interaction((0xA5, aids(bytes.fromhex("F0000000E0")))))
        install(card, names)
        card.crs("80F00101084F06F000000000A1")
        answers = card.crs(f"80F00101F8{aids(*names).hex()}", *["80F0800000"] * 2)
        assert [sw for _, sw in answers] == [MORE, MORE, PARTLY]
        told = tlv.parse_all(b"".join(data for data, _ in answers))
        assert [item.value for item in told] == [aids(name) + tlv.encode(0xA0, aids(A)) for name in names]

    def test_the_interface_is_switched_off_and_on(self, card: ContactlessCard) -> None:
        card.install(A)
        card.manager().activate(A)
        reader = card.reader()
        assert reader.select(A).sw == OK
        assert card.crs("80F0040003800140") == [(b"", OK)]
        with pytest.raises(CardRemovedError):
            reader.select(A)
        assert card.ticket(A).call(0x1F) == (b"\x00\x01", OK)
        assert card.se.effects()[-1] == "contactless-interface off"
        card.link.reset()
        with pytest.raises(CardRemovedError):
            card.reader().select(A)  # it stays off
        assert card.crs("80F0048003800140") == [(b"", OK)]
        assert reader.raw(bytes.fromhex("80CA006600")).sw == OK  # as after a reset: the issuer's domain answers
        assert reader.select(A).sw == OK


class TestInterfaces:
    """The two interfaces of an SE (Amendment C clause 3; GP Card 2.3.1 clauses 6.3, 6.4)."""

    def test_the_crs_application_is_reached_over_the_contacts_only(self, card: ContactlessCard) -> None:
        assert card.reader().select(CRS).sw == 0x6A82

    @pytest.mark.parametrize(
        ("access", "contact", "contactless"), [(0x80, OK, 0x6A82), (0x40, 0x6A82, OK), (0xC0, OK, OK)]
    )
    def test_access_of_an_application(self, card: ContactlessCard, access: int, contact: int, contactless: int) -> None:
        card.install(A, protocol((0xA5, tlv.encode(0x82, bytes((access,))))))
        assert card.manager().activate(A) == (OK if access & 0x40 else CONDITIONS)
        assert Host(card.link).select(A).sw == contact
        assert card.reader().select(A).sw == contactless

    def test_access_that_is_taken_ends_a_selection(self, card: ContactlessCard) -> None:
        card.install(A)
        card.manager().activate(A)
        reader = card.reader()
        reader.select(A)
        assert card.update(A, protocol((0xA5, tlv.encode(0x82, b"\x80")))) == OK
        assert reader.raw(bytes.fromhex("8011000000")).sw == CONDITIONS
        assert reader.select(A).sw == 0x6A82

    def test_a_domain_s_default_and_restriction(self, card: ContactlessCard) -> None:
        access = tlv.encode(0xA5, tlv.encode(0x81, b"\x80"))
        parameters = InstallParameters(system=(tlv.Tlv(0xA0, access),)).encode()
        host = card.manager()
        host.done(InstallForInstall(SD_PACKAGE, SD_MODULE, BANK, Privilege.SECURITY_DOMAIN, parameters=parameters))
        host.into(BANK, ISD_KEYS).put_keys(keys(0x31, 1)).require("PUT KEY")
        host.into(ISD, ISD_KEYS)
        card.install(A)
        card.install(B, protocol((0xA5, tlv.encode(0x82, b"\xc0"))))
        for aid in (A, B):
            card.manager().extradite(aid, BANK)
        assert [card.manager().activate(aid) for aid in (A, B)] == [CONDITIONS, OK]
        assert card.update(BANK, protocol((0xA5, tlv.encode(0x80, b"\x80")))) == OK
        assert card.reader().select(B).sw == 0x6A82
        assert Host(card.link).select(B).sw == OK

    def test_each_has_its_own_implicit_selection(self, card: ContactlessCard) -> None:
        card.install(A, tlv.Tlv(0xCF, b"\x80"))
        card.install(B, tlv.Tlv(0xCF, b"\x40"))
        card.manager().activate(A)
        for interface, name in (("contact", B), ("contactless", A)):
            link = card.se.link("contact" if interface == "contact" else "contactless")
            assert link.transmit(bytes.fromhex("8013000400"))[-2:] == b"\x6a\x83"  # a Ticket answers, without URI
            assert link.transmit(bytes.fromhex("8014000403") + b"uri")[-2:] == b"\x90\x00"
            assert Host(card.link).select(name).data == name
            assert card.ticket(name).call(0x13, 0x04) == (b"uri", OK)

    @pytest.mark.parametrize(("protocols", "implicit"), [(b"\x81", True), (b"\x82\x84", False), (b"", True)])
    def test_implicit_selection_is_for_the_protocol_types_assigned(
        self, card: ContactlessCard, protocols: bytes, *, implicit: bool
    ) -> None:
        card.install(A, tlv.Tlv(0xCF, b"\x80"), protocol((0x80, protocols)))
        card.manager().activate(A)
        answer = card.se.link("contactless").transmit(bytes.fromhex("8013000400"))
        assert (answer == b"\x6a\x83") == implicit

    def test_each_has_its_own_channels(self, card: ContactlessCard) -> None:
        other = card.se.link("contactless")
        assert [other.transmit(bytes.fromhex("0070000001")) for _ in range(2)] == [b"\x01\x90\x00", b"\x02\x90\x00"]
        assert card.link.transmit(bytes.fromhex("0070000001")) == b"\x01\x90\x00"
        assert card.link.transmit(bytes.fromhex("02A4040000"))[-2:] == b"\x68\x81"
        assert other.transmit(bytes.fromhex("02A4040000"))[-2:] == b"\x90\x00"


def test_a_host_speaks_with_it_in_its_own_words(card: ContactlessCard) -> None:
    parameters = ContactlessParameters(
        activate=True, uri=b"uri", add_members=(B,), add_listeners=(LISTENER,), family=0x20
    )
    card.install(LISTENER)
    card.install(A, *parameters.system())
    card.install(B, *ContactlessParameters(head=A).system())
    card.install(C, *ContactlessParameters(restricted=(A,)).system())
    host = Host(card.link)
    assert host.select(CRS_AID).sw == OK
    answer = host.plain(CrsGetStatus(bytes(A)[:4]))
    entries_of = {entry.aid: entry for entry in parse_entries([answer.data])}
    head, member = entries_of[A], entries_of[B]
    assert (head.state, head.life_cycle, head.members, head.listeners) == (
        ContactlessState.ACTIVATED,
        7,
        (B,),
        (LISTENER,),
    )
    assert (member.state, member.head, member.others[0x7F20]) == (ContactlessState.ACTIVATED, A, head.others[0x7F20])
    refused = host.plain(CrsSetStatus.activate(C, Aid(b"nobody")))
    assert refused.sw == PARTLY
    assert Undone.parse(refused.data) == Undone(((C, (A,)),), (Aid(b"nobody"),))
    assert host.plain(CrsSetStatus.order(Priority.VOLATILE, C)).sw == OK
    (chosen,) = parse_entries([host.plain(CrsGetStatus(C, tags=(0x81,))).data])
    assert chosen.priority == 0
    assert host.plain(CrsSetStatus.interface(on=False)).sw == OK


@pytest.mark.parametrize("profile", ["embedded", "uicc"])
def test_it_is_on_delivered_cards(profile: str) -> None:
    se = VirtualSe.create(profile)
    host = Host(se.link())
    assert host.select(CRS).sw == OK
    answer = host.raw(bytes.fromhex(LIST_ALL))
    assert list(entries((answer.data, answer.sw))) == [PPSE]
    assert host.raw(bytes.fromhex("80F00101") + bytes((14,)) + aids(CARD_1)).sw == PARTLY
