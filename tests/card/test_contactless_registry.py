"""The contactless side of the registry (GP Amendment C 1.3, and its API org.globalplatform.contactless 1.4)."""

from __future__ import annotations

import pytest

from contactless_card import (
    ACTIVATION,
    LISTENER,
    SELF_ACTIVATION,
    A,
    B,
    C,
    ContactlessCard,
    aids,
    interaction,
    protocol,
)
from opentsm_card.apdu import CommandApdu
from opentsm_card.privileges import Privilege
from opentsm_card.set_status import SetStatus
from sd_host import BANK, CRS, ISD, ISD_KEYS, PPSE, keys, service_provider

ACTIVATED, DEACTIVATED, NON_ACTIVATABLE = 0x01, 0x00, 0x80
OK, CONDITIONS, WRONG_DATA, ABSENT = 0x9000, 0x6985, 0x6A80, 0x6A83

# CLAppletEvent
EVENT_ACTIVATED, EVENT_DEACTIVATED, EVENT_NON_ACTIVATABLE = 0x02, 0x82, 0x81
EVENT_URI, EVENT_DISCRETIONARY, EVENT_FAMILY, EVENT_POLICY = 0x04, 0x05, 0x0C, 0x10
EVENT_CREL_ADDED, EVENT_CREL_REMOVED, EVENT_MEMBER_ADDED, EVENT_MEMBER_REMOVED = 0x0E, 0x8E, 0x0F, 0x8F
EVENT_INSTALLED, EVENT_SELECTABLE, EVENT_LOCKED, EVENT_UNLOCKED, EVENT_DELETED = 0x11, 0x12, 0x13, 0x93, 0x14
EVENT_HIGHEST, EVENT_LOWEST, EVENT_VOLATILE_SET, EVENT_VOLATILE_RESET = 0x17, 0x97, 0x18, 0x98

# GPCLRegistryEntry.INFO_*
INFO_URI, INFO_DISCRETIONARY, INFO_LOGO, INFO_TYPE_A, INFO_MESSAGE = 0x04, 0x05, 0x06, 0x07, 0x0A
INFO_FAMILY, INFO_PROTOCOLS, INFO_CONTINUOUS, INFO_COUNTER, INFO_DISPLAY = 0x0B, 0x0C, 0x0D, 0x0E, 0x0F
INFO_POLICY, INFO_RECOGNITION, INFO_PRIORITY, INFO_HEAD, INFO_PRIVACY = 0x10, 0x11, 0x12, 0x13, 0x15


@pytest.fixture
def card() -> ContactlessCard:
    return ContactlessCard()


class TestActivation:
    """setCLState, and who may call it (API 1.4, GPCLRegistryEntry; Amendment C clauses 3.11.4.2.2, 7)."""

    def test_an_application_with_self_activation_activates_itself(self, card: ContactlessCard) -> None:
        card.install(A, privileges=SELF_ACTIVATION)
        assert card.reader().select(A).sw == 0x6A82
        assert card.ticket(A).call(0x10, ACTIVATED << 8) == (b"\x01", OK)
        assert card.state(A) == ACTIVATED
        assert card.reader().select(A).sw == OK
        assert card.ticket(A).state(DEACTIVATED) == OK
        assert card.reader().select(A).sw == 0x6A82

    def test_without_self_activation_the_crs_application_decides(self, card: ContactlessCard) -> None:
        card.install(A)
        assert card.ticket(A).state(ACTIVATED) == OK
        assert card.state(A) == ACTIVATED
        assert card.ticket(A).state(DEACTIVATED) == OK

    def test_the_crs_application_refuses_what_conflicts(self, card: ContactlessCard) -> None:
        card.install(A, interaction((0xA5, aids(B))))
        card.install(B)
        assert card.ticket(A).state(ACTIVATED) == OK
        assert card.ticket(B).state(ACTIVATED) == CONDITIONS
        assert card.state(B) == DEACTIVATED

    def test_without_a_crs_application_nobody_decides(self, card: ContactlessCard) -> None:
        card.install(A)
        assert card.manager().delete(CRS) == OK
        assert card.ticket(A).state(ACTIVATED) == CONDITIONS

    def test_another_s_state_takes_contactless_activation(self, card: ContactlessCard) -> None:
        card.install(A, privileges=SELF_ACTIVATION)
        card.install(B, privileges=SELF_ACTIVATION | Privilege.GLOBAL_REGISTRY)
        card.install(C, privileges=ACTIVATION)
        assert card.ticket(B).state(ACTIVATED, A) == CONDITIONS
        assert card.ticket(C).state(ACTIVATED, A) == OK
        assert card.ticket(B).state(DEACTIVATED, A) == CONDITIONS
        assert card.ticket(C).state(DEACTIVATED, A) == OK
        assert card.ticket(C).state(NON_ACTIVATABLE, A) == CONDITIONS
        assert card.ticket(C).state(0x02, A) == WRONG_DATA

    def test_only_the_application_makes_itself_non_activatable_and_comes_back(self, card: ContactlessCard) -> None:
        card.install(A)
        assert card.ticket(A).state(NON_ACTIVATABLE) == OK
        assert card.state(A) == NON_ACTIVATABLE
        manager = card.manager()
        for activated in (True, False):
            assert manager.activate(A, activated=activated) == CONDITIONS
        assert card.crs("80F00101084F06F000000000A1")[0] == (bytes.fromhex("A1084F06F000000000A1"), 0x6320)
        assert card.ticket(A).state(DEACTIVATED) == OK
        assert card.manager().activate(A) == OK

    def test_a_listener_may_deactivate_and_not_activate(self, card: ContactlessCard) -> None:
        card.install(LISTENER)
        card.install(A, interaction((0xA3, aids(LISTENER))), privileges=SELF_ACTIVATION)
        assert card.ticket(A).state(ACTIVATED) == OK
        assert card.ticket(LISTENER).state(DEACTIVATED, A) == OK
        assert card.state(A) == DEACTIVATED
        assert card.ticket(LISTENER).state(ACTIVATED, A) == CONDITIONS

    def test_what_is_not_selectable_is_not_activated(self, card: ContactlessCard) -> None:
        card.install(A)
        manager = card.manager()
        manager.done(SetStatus.lock(A))
        assert manager.activate(A) == CONDITIONS

    def test_an_application_may_refuse_its_activation(self, card: ContactlessCard) -> None:
        card.install(A)
        card.ticket(A).call(0x20, 0x0100)
        assert card.manager().activate(A) == CONDITIONS
        card.ticket(A).call(0x20)
        assert card.manager().activate(A) == OK

    @pytest.mark.parametrize("first", [True, False])
    def test_the_first_state_is_for_when_it_becomes_selectable(self, card: ContactlessCard, *, first: bool) -> None:
        card.install(A, protocol((0x81, bytes((first,)))))
        assert card.state(A) == int(first)

    def test_the_first_state_gives_way_to_what_is_active(self, card: ContactlessCard) -> None:
        card.install(A, protocol((0x81, b"\x01")), interaction((0xA5, aids(B))))
        assert card.install(B, protocol((0x81, b"\x01"))) == OK
        assert (card.state(A), card.state(B)) == (ACTIVATED, DEACTIVATED)

    def test_unlocking_activates_what_is_activated_at_first(self, card: ContactlessCard) -> None:
        card.install(A, protocol((0x81, b"\x01")))
        manager = card.manager()
        manager.done(SetStatus.contactless(A, activated=False), SetStatus.lock(A), SetStatus.unlock(A))
        assert card.state(A) == ACTIVATED


class TestConflicts:
    """Which applications exclude each other: policy (A5), protocol data (86, 87, 88)."""

    def test_a_policy_holds_both_ways_and_for_the_beginning_of_an_aid(self, card: ContactlessCard) -> None:
        card.install(A, interaction((0xA5, aids(bytes(B)[:5]))))
        card.install(B)
        manager = card.manager()
        assert manager.activate(A) == OK
        assert manager.activate(B) == WRONG_DATA
        manager.done(SetStatus.contactless(A, activated=False), SetStatus.contactless(B, activated=True))
        assert manager.activate(A) == WRONG_DATA

    @pytest.mark.parametrize(
        ("ours", "theirs", "conflict"),
        [
            ("A0038001F0A1038001FF", "A0038001F1A1038001FF", True),
            ("A0038001F0A1038001FE", "A0038001F1A1038001FF", False),  # the bit that differs is not mandatory
            ("A0038001F0A1038001FF", "A0038001F0A1038001FF", False),
            ("A0038001F0A1038001FF", "A0038101F1A1038101FF", False),  # another parameter
            ("A0038001F0", "A0038001F1A1038001FF", False),  # nothing is mandatory
            ("A0048002F000A1048002FFFF", "A0048002F001A1048002FFFF", True),  # its second byte
            ("A0038001F0A1038001FF", "A0048002F001A1048002FFFF", False),  # one has no second byte
        ],
    )
    @pytest.mark.parametrize("tag", [0x86, 0x87, 0x88])
    def test_mandatory_bits_of_protocol_data(
        self, card: ContactlessCard, tag: int, ours: str, theirs: str, *, conflict: bool
    ) -> None:
        card.install(A, protocol((tag, bytes.fromhex(ours))))
        card.install(B, protocol((tag, bytes.fromhex(theirs))))
        manager = card.manager()
        assert manager.activate(A) == OK
        assert manager.activate(B) == (WRONG_DATA if conflict else OK)

    def test_data_of_another_protocol_type_do_not_conflict(self, card: ContactlessCard) -> None:
        card.install(A, protocol((0x86, bytes.fromhex("A0038001F0A1038001FF"))))
        card.install(B, protocol((0x87, bytes.fromhex("A0038001F1A1038001FF"))))
        manager = card.manager()
        assert [manager.activate(A), manager.activate(B)] == [OK, OK]

    def test_conflicting_applications_are_named(self, card: ContactlessCard) -> None:
        card.install(A, interaction((0xA5, aids(B, C))))
        for aid in (B, C):
            card.install(aid)
            card.manager().activate(aid)
        card.install(LISTENER, privileges=ACTIVATION)
        assert card.ticket(LISTENER).names(0x19, 0x0300, A) == [B, C]
        assert card.ticket(LISTENER).names(0x19, 0x0300, B) == []
        assert card.ticket(A).call(0x19, 0x0300)[1] == CONDITIONS
        expected = bytes.fromhex("611A4F06F000000000A1A0104F06F000000000B14F06F000000000C1")
        assert card.crs("80F00101084F06F000000000A1") == [(expected, 0x6320)]


class TestGroups:
    """Heads and members (A1: A0, A1, A2)."""

    @pytest.fixture
    def group(self, card: ContactlessCard) -> ContactlessCard:
        card.install(A, interaction((0xA1, aids(B, C))))
        card.install(B, interaction((0xA0, aids(A))))
        card.install(C, interaction((0xA0, aids(A))))
        return card

    def test_members_follow_their_head(self, group: ContactlessCard) -> None:
        manager = group.manager()
        assert manager.activate(A) == OK
        assert [group.state(aid) for aid in (A, B, C)] == [ACTIVATED] * 3
        assert group.reader().select(C).sw == OK
        assert group.manager().activate(A, activated=False) == OK
        assert [group.state(aid) for aid in (A, B, C)] == [DEACTIVATED] * 3

    def test_a_member_does_not_go_its_own_way(self, group: ContactlessCard) -> None:
        assert group.manager().activate(B) == CONDITIONS
        group.manager().activate(A)
        assert group.manager().activate(B, activated=False) == CONDITIONS

    def test_a_non_activatable_member_stays_so_and_comes_back_to_its_head_s_state(self, group: ContactlessCard) -> None:
        assert group.ticket(B).state(NON_ACTIVATABLE) == OK
        group.manager().activate(A)
        assert [group.state(aid) for aid in (A, B, C)] == [ACTIVATED, NON_ACTIVATABLE, ACTIVATED]
        assert group.ticket(B).call(0x10, DEACTIVATED << 8) == (b"\x01", OK)

    def test_a_head_that_becomes_non_activatable_takes_its_group_down(self, group: ContactlessCard) -> None:
        group.manager().activate(A)
        assert group.ticket(A).state(NON_ACTIVATABLE) == OK
        assert [group.state(aid) for aid in (A, B, C)] == [NON_ACTIVATABLE, DEACTIVATED, DEACTIVATED]

    def test_a_conflict_of_one_member_is_the_group_s(self, group: ContactlessCard) -> None:
        group.install(LISTENER, interaction((0xA5, aids(C))))
        manager = group.manager()
        assert manager.activate(LISTENER) == OK
        assert manager.activate(A) == WRONG_DATA
        assert [group.state(aid) for aid in (A, B, C)] == [DEACTIVATED] * 3

    def test_members_of_a_group_never_conflict(self, group: ContactlessCard) -> None:
        assert group.update(B, interaction((0xA5, aids(C)))) == OK
        assert group.manager().activate(A) == OK

    def test_who_is_not_on_the_list_can_t_join(self, card: ContactlessCard) -> None:
        card.install(A, interaction((0xA1, aids(B))))
        assert card.install(C, interaction((0xA0, aids(A)))) == CONDITIONS
        assert card.manager().entry(C) is None
        assert card.install(B, interaction((0xA0, aids(LISTENER)))) == CONDITIONS

    def test_no_head_is_a_member_and_no_member_a_head(self, group: ContactlessCard) -> None:
        assert group.update(B, interaction((0xA1, aids(LISTENER)))) == CONDITIONS
        assert group.update(A, interaction((0xA0, aids(B)))) == CONDITIONS
        assert group.update(B, interaction((0xA0, aids(A)))) == CONDITIONS  # it is one already

    def test_the_api_does_the_same(self, card: ContactlessCard) -> None:
        for aid in (A, B):
            card.install(aid, privileges=Privilege.GLOBAL_REGISTRY)
        assert card.ticket(B).call(0x15, 0, A)[1] == CONDITIONS
        assert card.ticket(A).call(0x16, 0x0100, B)[1] == OK
        assert card.ticket(B).call(0x15, 0, A)[1] == OK
        assert card.ticket(A).call(0x1A) == (b"\x01\x00", OK)
        assert card.ticket(A).call(0x1A, 0, B) == (b"\x00\x01", OK)
        assert card.ticket(A).call(0x13, INFO_HEAD, B) == (bytes(A), OK)
        card.install(C, privileges=ACTIVATION)
        assert card.ticket(C).names(0x19, 0, A) == [B]
        assert card.ticket(A).call(0x19)[1] == CONDITIONS
        assert card.ticket(A).call(0x16, 0, B)[1] == OK
        assert card.ticket(C).names(0x19, 0, A) == []
        assert card.ticket(A).call(0x13, INFO_HEAD, B)[1] == ABSENT

    def test_only_with_global_registry_one_asks_who_is_in_a_group(self, group: ContactlessCard) -> None:
        assert group.ticket(A).call(0x1A)[1] == CONDITIONS

    def test_who_leaves_is_deactivated(self, group: ContactlessCard) -> None:
        group.manager().activate(A)
        assert group.update(A, interaction((0xA2, aids(B)))) == OK
        assert [group.state(aid) for aid in (A, B, C)] == [ACTIVATED, DEACTIVATED, ACTIVATED]
        assert group.manager().activate(B) == OK

    def test_a_deleted_head_leaves_no_group(self, group: ContactlessCard) -> None:
        manager = group.manager()
        manager.activate(A)
        assert manager.delete(A) == OK
        assert [group.state(aid) for aid in (B, C)] == [DEACTIVATED] * 2
        assert group.manager().activate(B) == OK

    def test_members_show_what_their_head_shows(self, group: ContactlessCard) -> None:
        group.update(A, interaction((0x7F20, bytes.fromhex("5F500568656164735F450148"))))
        group.update(C, interaction((0x7F20, bytes.fromhex("5F45016D"))))
        for aid, uri, message in ((A, b"heads", b"H"), (B, b"heads", b"H"), (C, b"heads", b"m")):
            assert group.ticket(aid).call(0x13, INFO_URI) == (uri, OK)
            assert group.ticket(aid).call(0x13, INFO_MESSAGE) == (message, OK)


class TestEvents:
    """Who hears of what (Amendment C clauses 3.10.2 to 3.10.4)."""

    @pytest.fixture
    def heard(self, card: ContactlessCard) -> ContactlessCard:
        card.install(LISTENER)
        card.install(A, interaction((0xA3, aids(LISTENER))), privileges=SELF_ACTIVATION)
        return card

    def test_a_life(self, heard: ContactlessCard) -> None:
        added, *rest = [told for told in heard.ticket(LISTENER).events() if told[0]]
        assert added == (A, EVENT_CREL_ADDED)
        assert rest == [(A, EVENT_INSTALLED), (A, EVENT_SELECTABLE)]
        manager = heard.manager()
        manager.done(
            SetStatus.contactless(A, activated=True),
            SetStatus.lock(A),
            SetStatus.unlock(A),
            SetStatus.contactless(A, activated=False),
        )
        expected = [EVENT_ACTIVATED, EVENT_LOCKED, EVENT_UNLOCKED, EVENT_DEACTIVATED]
        assert heard.ticket(LISTENER).events() == [(A, event) for event in expected]
        own = [event for name, event in heard.ticket(A).events() if not name]
        # What it can't run to hear, since it is locked, it is not told.
        assert own == [EVENT_INSTALLED, EVENT_SELECTABLE, EVENT_ACTIVATED, EVENT_UNLOCKED, EVENT_DEACTIVATED]
        assert heard.manager().delete(A) == OK
        assert heard.ticket(LISTENER).events() == [(A, EVENT_DELETED)]

    def test_who_is_at_the_origin_does_not_hear_of_it(self, heard: ContactlessCard) -> None:
        heard.ticket(A).events()
        heard.ticket(LISTENER).events()
        heard.ticket(A).state(ACTIVATED)
        assert heard.ticket(A).events() == []
        assert heard.ticket(LISTENER).events() == [(A, EVENT_ACTIVATED)]
        heard.ticket(LISTENER).state(DEACTIVATED, A)
        assert heard.ticket(A).events() == [(b"", EVENT_DEACTIVATED)]
        assert heard.ticket(LISTENER).events() == []

    def test_changed_information(self, heard: ContactlessCard) -> None:
        heard.ticket(LISTENER).events()
        heard.update(
            A, interaction((0x7F20, bytes.fromhex("5F500161")), (0xA5, aids(C)), (0xA6, b"x"), (0x87, b"\x20"))
        )
        assert {event for _, event in heard.ticket(LISTENER).events()} == {
            EVENT_URI,
            EVENT_DISCRETIONARY,
            EVENT_FAMILY,
            EVENT_POLICY,
        }

    def test_a_list_changes(self, heard: ContactlessCard) -> None:
        heard.ticket(LISTENER).events()
        assert heard.ticket(A).call(0x17, 0, LISTENER)[1] == OK
        assert heard.ticket(LISTENER).events() == [(A, EVENT_CREL_REMOVED)]
        heard.manager().activate(A)
        assert heard.ticket(LISTENER).events() == []
        assert heard.update(A, interaction((0xA3, aids(LISTENER)))) == OK
        assert heard.ticket(LISTENER).events() == [(A, EVENT_CREL_ADDED)]
        assert heard.update(A, interaction((0xA4, aids(LISTENER)))) == OK

    def test_a_group_and_an_order_are_told(self, heard: ContactlessCard) -> None:
        heard.install(B, interaction((0xA1, aids(A))))
        heard.ticket(LISTENER).events()
        heard.ticket(A).call(0x15, 0, B)
        heard.update(B, interaction((0xA2, aids(A))))
        heard.crs("80F00201084F06F000000000A1", "80F00281084F06F000000000A1")
        heard.crs("80F00202084F06F000000000A1", "80F0028200")
        events = [EVENT_MEMBER_ADDED, EVENT_MEMBER_REMOVED, EVENT_HIGHEST, EVENT_LOWEST, EVENT_VOLATILE_SET]
        assert heard.ticket(LISTENER).events() == [(A, event) for event in [*events, EVENT_VOLATILE_RESET]]

    def test_all_under_a_locked_domain(self, heard: ContactlessCard) -> None:
        manager = service_provider(heard.se, ISD, ISD_KEYS, BANK, keys(0x31, 1))
        assert manager.extradite(A, BANK) == OK
        manager.done(SetStatus.contactless(A, activated=True))
        heard.ticket(LISTENER).events()
        heard.manager().done(SetStatus.lock_all(BANK))
        assert heard.reader().select(A).sw == 0x6A82
        heard.manager().done(SetStatus.unlock_all(BANK))
        assert heard.ticket(LISTENER).events() == [(A, EVENT_LOCKED), (A, EVENT_UNLOCKED)]
        assert heard.reader().select(A).sw == OK

    def test_a_listener_that_fails_fails_alone(self, heard: ContactlessCard) -> None:
        heard.ticket(LISTENER).call(0x20, 0x0200)
        assert heard.manager().activate(A) == OK
        assert heard.state(A) == ACTIVATED
        assert (b"", EVENT_ACTIVATED) in heard.ticket(A).events()

    def test_listeners_and_those_they_hear(self, heard: ContactlessCard) -> None:
        heard.install(C, privileges=ACTIVATION)
        assert heard.ticket(C).names(0x19, 0x0100, A) == [LISTENER]
        assert heard.ticket(LISTENER).names(0x19, 0x0200) == [A]
        assert heard.ticket(LISTENER).names(0x18) == [LISTENER, A]
        assert heard.ticket(A).call(0x19, 0x0100)[1] == CONDITIONS
        assert heard.ticket(LISTENER).call(0x19, 0x0200, A)[1] == CONDITIONS
        assert heard.ticket(A).names(0x18) == [A]


class TestInformation:
    """What INSTALL brings is what the registry tells (A0, A1 and 96 of EF), and what an application changes."""

    def test_parameters_of_an_installation(self, card: ContactlessCard) -> None:
        type_a = bytes.fromhex("A0038001F0A1038001FF")
        card.install(
            A,
            protocol((0x80, b"\x81\x82"), (0x83, b"\x01\x02"), (0x84, b"\x02"), (0x86, type_a), (0x89, b"\x80")),
            interaction(
                (0x7F20, bytes.fromhex("5F5003757269 5F44024D4D 5F45036D7367".replace(" ", ""))),
                (0xA5, aids(B)),
                (0xA6, b"\x50\x01A"),
                (0x87, b"\x21"),
                (0x88, b"\x01"),
            ),
        )
        ticket = card.ticket(A)
        for info, value in {
            INFO_URI: b"uri",
            INFO_LOGO: b"MM",
            INFO_MESSAGE: b"msg",
            INFO_DISCRETIONARY: b"\x50\x01A",
            INFO_TYPE_A: type_a,
            INFO_FAMILY: b"\x21",
            INFO_PROTOCOLS: b"\x81\x82",
            INFO_CONTINUOUS: b"\x02",
            INFO_DISPLAY: b"\x01",
            INFO_POLICY: aids(B),
            INFO_RECOGNITION: b"\x01\x02",
            INFO_PRIORITY: b"\x02",  # behind the PPSE
        }.items():
            assert ticket.call(0x13, info) == (value, OK), hex(info)
        for info in (INFO_PRIVACY, INFO_HEAD, 0x08, 0x09, 0x14):
            assert ticket.call(0x13, info)[1] == ABSENT, hex(info)
        for info in (0x00, 0x03, 0x16, 0x8000):
            assert ticket.call(0x13, info)[1] == WRONG_DATA, hex(info)

    @pytest.mark.parametrize(
        "system",
        [
            "A003800180",  # no protocol type
            "A003810102",
            "A0048102 0000",
            "A003840103",
            "A005A503820120",  # no interface
            "A005A503800180",  # a restriction is a domain's
            "A006860480021122",  # neither parameters nor masks
            "A103870000",  # two data objects in one
            "A1048703000000",
            "A103880102",
            "A104A1024F00",
            "A108A0064F0411223344",  # no AID is so short
            "A10AA2085006112233445566",  # no AID
            "A1037F20",
            "960102",
            "A0028001",
            "A00380828101",
        ],
    )
    def test_parameters_that_are_wrong_install_nothing(self, card: ContactlessCard, system: str) -> None:
        value = bytes.fromhex(system.replace(" ", ""))
        field = bytes((0xEF, len(value))) + value
        module, package = "06F00000000301", "05F000000003"
        data = bytes.fromhex(f"{package}{module}06{bytes(A).hex()}0100") + bytes((len(field),)) + field + b"\x00"
        manager = card.manager()
        assert manager.sw(CommandApdu(0x80, 0xE6, 0x0C, 0x00, data, 256)) == WRONG_DATA
        assert manager.entry(A) is None

    def test_an_application_sets_its_own_and_no_other_s(self, card: ContactlessCard) -> None:
        card.install(A)
        card.install(B, privileges=Privilege.GLOBAL_REGISTRY)
        before = int.from_bytes(card.ticket(A).call(0x13, INFO_COUNTER)[0], "big")
        assert card.ticket(A).call(0x14, INFO_URI, b"new")[1] == OK
        assert card.ticket(B).call(0x13, INFO_URI, A) == (b"new", OK)
        assert int.from_bytes(card.ticket(A).call(0x13, INFO_COUNTER)[0], "big") == before + 1
        for info in (INFO_COUNTER, INFO_PRIORITY, INFO_HEAD, 0x00, 0x16):
            assert card.ticket(A).call(0x14, info, b"x")[1] == WRONG_DATA, hex(info)

    def test_who_may_read(self, card: ContactlessCard) -> None:
        card.install(A, interaction((0xA6, b"secret"), (0xA3, aids(LISTENER))))
        card.install(B)
        card.install(LISTENER)
        assert card.ticket(B).call(0x13, INFO_DISCRETIONARY, A)[1] == 0x6A82  # it gets no entry at all
        assert card.ticket(LISTENER).call(0x13, INFO_DISCRETIONARY, A) == (b"secret", OK)

    def test_applications_are_enumerated_by_family(self, card: ContactlessCard) -> None:
        card.install(A, interaction((0x87, b"\x21")), privileges=Privilege.GLOBAL_REGISTRY)
        card.install(B, interaction((0x87, b"\x20")))
        card.install(C, interaction((0x87, b"\x10")))
        for family, found in ((0x20, [A, B]), (0x21, [A]), (0x10, [C]), (0x30, []), (0, [PPSE, A, B, C])):
            assert card.ticket(A).names(0x18, family) == found, hex(family)

    def test_card_information(self, card: ContactlessCard) -> None:
        type_a = bytes.fromhex("A0038001F0A1038001FF")
        card.install(A, protocol((0x86, type_a)))
        assert card.ticket(A).call(0x1B, 0x04) == (b"", OK)
        before = int.from_bytes(card.ticket(A).call(0x1B, 0x07)[0], "big")
        card.manager().activate(A)
        assert int.from_bytes(card.ticket(A).call(0x1B, 0x07)[0], "big") == before + 1
        assert card.ticket(A).call(0x1B, 0x04) == (type_a, OK)
        assert card.ticket(A).call(0x1B, 0x08) == (b"\x80", OK)  # type A
        assert card.ticket(A).call(0x1B, 0x01) == (b"", OK)
        assert card.ticket(A).call(0x22) == (b"\x80\x00", OK)
        assert card.ticket(A).call(0x21)[1] == 0x6A81  # there is no host device to ask


class TestOrder:
    """Partial selection: the registry's order, the volatile priority."""

    PREFIX = bytes(A)[:5]

    def chosen(self, card: ContactlessCard, *, contactless: bool = True) -> bytes:
        link = card.se.link("contactless") if contactless else card.link
        return link.transmit(b"\x00\xa4\x04\x00\x05" + self.PREFIX)[:-2]

    @pytest.fixture
    def three(self, card: ContactlessCard) -> ContactlessCard:
        for aid in (A, B, C):
            card.install(aid)
            card.manager().activate(aid)
        return card

    def test_first_and_last(self, three: ContactlessCard) -> None:
        assert self.chosen(three) == A
        assert three.crs("80F00201084F06F000000000C1") == [(b"", OK)]
        assert [self.chosen(three), self.chosen(three, contactless=False)] == [C, C]
        assert three.crs("80F00281084F06F000000000C1") == [(b"", OK)]
        assert self.chosen(three) == A
        assert three.se.effects()[-2:] == [
            "contactless-order F000000000C1 first",
            "contactless-order F000000000C1 last",
        ]

    def test_the_next_occurrence_goes_by_the_order_too(self, three: ContactlessCard) -> None:
        three.crs("80F00201084F06F000000000C1")
        link = three.se.link("contactless")
        found = [link.transmit(bytes((0x00, 0xA4, 0x04, p2, 5)) + self.PREFIX)[:-2] for p2 in (0, 2, 2)]
        assert found == [C, A, B]

    def test_the_volatile_priority_lasts_until_the_card_is_reset(self, three: ContactlessCard) -> None:
        three.crs("80F00202084F06F000000000B1")
        assert [self.chosen(three), self.chosen(three)] == [B, B]  # the field came and went between the two
        assert self.chosen(three, contactless=False) == A
        three.link.reset()
        assert self.chosen(three) == A

    def test_the_volatile_priority_is_given_up(self, three: ContactlessCard) -> None:
        three.crs("80F00202084F06F000000000B1", "80F0028200")
        assert self.chosen(three) == A

    def test_a_head_takes_its_group_along(self, three: ContactlessCard) -> None:
        three.update(B, interaction((0xA1, aids(C))))
        three.update(C, interaction((0xA0, aids(B))))
        three.crs("80F00202084F06F000000000B1")
        link = three.se.link("contactless")
        first = link.transmit(b"\x00\xa4\x04\x00\x05" + self.PREFIX)[:-2]
        assert [first, link.transmit(b"\x00\xa4\x04\x02\x05" + self.PREFIX)[:-2]] == [B, C]

    def test_both_take_contactless_activation(self, three: ContactlessCard) -> None:
        assert three.ticket(A).call(0x1C, 0x0100)[1] == CONDITIONS
        assert three.ticket(A).call(0x1D)[1] == CONDITIONS
        assert three.ticket(A).call(0x1E, 0x0001)[1] == CONDITIONS
