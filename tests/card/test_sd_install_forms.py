"""INSTALL in every form, with every parameter, as each clause has it.

Spec: GP Card Specification 2.3.1, 9.3 to 9.5, 11.1.5.1, 11.2, 11.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from delegation import domain, lv
from opentsm_card.aid import Aid
from opentsm_card.apdu import CommandApdu
from opentsm_card.install import (
    InstallForExtradition,
    InstallForInstall,
    InstallForLoad,
    InstallForMakeSelectable,
    InstallForPersonalization,
    InstallForRegistryUpdate,
    split_install,
)
from opentsm_card.install_parameters import InstallParameters
from opentsm_card.load import load_blocks, load_file
from opentsm_card.privileges import Privilege
from opentsm_card.scp03 import SecurityLevel
from sd_host import (
    BANK,
    CARD_1,
    CARD_2,
    ISD,
    ISD_KEYS,
    OWN,
    PAYMENT_MODULE,
    PAYMENT_PACKAGE,
    PPSE,
    SD_MODULE,
    SD_PACKAGE,
    Host,
    keys,
    payment_parameters,
)
from small_cap import MODULE, PACKAGE, small_cap

if TYPE_CHECKING:
    from opentsm_card.apdu import ResponseApdu
    from opentsm_simulator import VirtualSe

BANK_KEYS = keys(0x31, 1)
NONE = bytes(3)
PARAMETERS = payment_parameters()
PAYMENT = (PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_1, NONE, PARAMETERS, b"")


def install(host: Host, p1: int, *fields: bytes, p2: int = 0) -> ResponseApdu:
    return host.send(CommandApdu(0x80, 0xE6, p1, p2, lv(*fields), 256))


def in_system(value: bytes) -> bytes:
    """Install parameters with a value of the system specific template (EF)."""
    return PARAMETERS + b"\xef" + lv(value)


class TestForms:
    """11.5.2.1: the roles that P1 gives the command, each with its data field."""

    def test_for_install(self, isd: Host) -> None:
        """11.5.2.3.2, P1 04: INSTALLED, and not selectable yet; the answer is a 00 (11.5.3.1)."""
        answer = install(isd, 0x04, *PAYMENT)
        assert (answer.sw, answer.data) == (0x9000, b"\0")
        assert isd.state(CARD_1) == 0x03

    def test_for_make_selectable(self, isd: Host) -> None:
        """11.5.2.3.3, P1 08."""
        isd.done(InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_1, make_selectable=False))
        answer = install(isd, 0x08, b"", b"", CARD_1, NONE, b"", b"")
        assert (answer.sw, answer.data) == (0x9000, b"\0")
        assert isd.state(CARD_1) == 0x07
        assert install(isd, 0x08, b"", b"", CARD_1, NONE, b"", b"").sw == 0x6985

    def test_for_make_selectable_takes_the_card_reset_privilege_and_ignores_others(self, isd: Host) -> None:
        """11.5.2.3.3: any other privilege set in the field shall be ignored, regardless of its length."""
        isd.done(InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_1, make_selectable=False))
        assert install(isd, 0x08, b"", b"", CARD_1, b"\x0c", b"", b"").sw == 0x9000
        entry = isd.entry(CARD_1)
        assert entry is not None
        assert entry.privileges is Privilege.CARD_RESET

    def test_for_install_and_make_selectable(self, isd: Host) -> None:
        """11.5.2.1, P1 0C: both in one command."""
        assert install(isd, 0x0C, *PAYMENT).data == b"\0"
        assert isd.state(CARD_1) == 0x07

    def test_for_extradition(self, isd: Host) -> None:
        """11.5.2.3.4, P1 10: of an application, and of a load file."""
        domain(isd, BANK, Privilege.SECURITY_DOMAIN, BANK_KEYS)
        isd.new_payment(CARD_1)
        for aid in (CARD_1, PAYMENT_PACKAGE):
            answer = install(isd, 0x10, BANK, b"", aid, b"", b"", b"")
            assert (answer.sw, answer.data) == (0x9000, b"\0")
            entry = isd.entry(aid)
            assert entry is not None
            assert entry.associated_sd == BANK
        assert install(isd, 0x10, b"", b"", CARD_1, b"", b"", b"").sw == 0x6A88  # the new domain is mandatory

    def test_for_registry_update(self, isd: Host) -> None:
        """11.5.2.3.5, P1 40: privileges, parameters and domain, together or apart."""
        domain(isd, BANK, Privilege.SECURITY_DOMAIN, BANK_KEYS)
        isd.new_payment(CARD_1)
        granted = Privilege.CONTACTLESS_SELF_ACTIVATION
        answer = install(isd, 0x40, BANK, b"", CARD_1, granted.encode(), b"\xef\x03\xcf\x01\x41", b"")
        assert (answer.sw, answer.data) == (0x9000, b"\0")
        entry = isd.entry(CARD_1)
        assert entry is not None
        assert (entry.associated_sd, entry.privileges, entry.implicit_selection) == (BANK, granted, b"\x41")
        assert install(isd, 0x40, b"", b"", CARD_1, b"", b"\xef\x03\xcf\x01\x82", b"").sw == 0x9000
        entry = isd.entry(CARD_1)
        assert entry is not None
        assert (entry.associated_sd, entry.privileges) == (BANK, granted)  # what is not named stays

    def test_a_registry_update_that_fails_in_part_changes_nothing(self, isd: Host) -> None:
        """11.5.2.3.5: all modifications shall succeed, or no update shall occur."""
        domain(isd, BANK, Privilege.SECURITY_DOMAIN, BANK_KEYS)
        isd.new_payment(CARD_1)
        for privileges, parameters in ((b"\x80\0\0", b""), (b"\x40\0\0", b""), (NONE, b"\xef\x03\xd9\x01\x01")):
            assert install(isd, 0x40, BANK, b"", CARD_1, privileges, parameters, b"").sw in {0x6985, 0x6A80}
            entry = isd.entry(CARD_1)
            assert entry is not None
            assert (entry.associated_sd, entry.privileges) == (ISD, Privilege.NONE)

    def test_for_personalization(self, isd: Host) -> None:
        """11.5.2.3.6, P1 20: an AID between empty fields; STORE DATA follows."""
        isd.new_payment(CARD_1)
        answer = install(isd, 0x20, b"", b"", CARD_1, b"", b"", b"")
        assert (answer.sw, answer.data) == (0x9000, b"\0")
        for filled in (0, 1, 3, 4, 5):
            fields = [b"", b"", bytes(CARD_1), b"", b"", b""]
            fields[filled] = b"\x01"
            assert install(isd, 0x20, *fields).sw == 0x6A80

    def test_for_load(self, isd: Host) -> None:
        """11.5.2.3.1, P1 02: the answer is a 00; LOAD follows."""
        answer = install(isd, 0x02, PACKAGE, b"", b"", b"", b"")
        assert (answer.sw, answer.data) == (0x9000, b"\0")
        isd.done(*load_blocks(load_file(small_cap()), 200))

    def test_for_load_install_and_make_selectable(self, isd: Host) -> None:
        """11.5.2.2, 9.3.8, P1 0E, P2 01 and 03: loads, then installs its only module or the one named."""
        for instance, module in ((CARD_1, b""), (CARD_2, MODULE)):
            answer = install(isd, 0x0E, PACKAGE, b"", b"", b"", b"", p2=1)
            assert (answer.sw, answer.data) == (0x9000, b"\0")
            isd.done(*load_blocks(load_file(small_cap(registers=True)), 200))
            final = install(isd, 0x0E, b"", module, instance, NONE, b"\xc9\x00", b"", p2=3)
            assert (final.sw, final.data) == (0x9000, b"\0")
            loaded, application = isd.entry(Aid(PACKAGE)), isd.entry(instance)
            assert loaded is not None
            assert loaded.modules == (Aid(MODULE),)
            assert application is not None
            assert application.state == 0x07
            assert isd.select(instance).sw == 0x9000
            isd.into(ISD, ISD_KEYS)
            assert isd.delete(Aid(PACKAGE), related=True) == 0x9000

    @pytest.mark.parametrize("wrong", ["install() does not register", "AID in use", "no such module", "privileges"])
    def test_all_or_nothing(self, isd: Host, wrong: str) -> None:
        """9.3.8: what was loaded goes when it can't be installed, and the process is over."""
        isd.new_payment(CARD_2)
        before = isd.registry()
        block = small_cap(registers=not wrong.startswith("install()"))
        end = {
            "AID in use": (b"", b"", CARD_2, NONE, b"\xc9\x00", b""),
            "no such module": (b"", PACKAGE + b"\x02", CARD_1, NONE, b"\xc9\x00", b""),
            "privileges": (b"", b"", CARD_1, b"\x81\0\0", b"\xc9\x00", b""),
        }.get(wrong, (b"", b"", CARD_1, NONE, b"\xc9\x00", b""))
        assert install(isd, 0x0E, PACKAGE, b"", b"", b"", b"", p2=1).sw == 0x9000
        isd.done(*load_blocks(load_file(block), 200))
        assert install(isd, 0x0E, *end, p2=3).sw in {0x6985, 0x6A80, 0x6A88}
        assert install(isd, 0x0E, b"", b"", CARD_1, NONE, b"\xc9\x00", b"", p2=3).sw == 0x6985
        assert isd.registry() == before

    def test_another_command_ends_the_combined_process(self, isd: Host) -> None:
        """9.3.8: between its commands there is none but GET DATA."""
        install(isd, 0x0E, PACKAGE, b"", b"", b"", b"", p2=1)
        isd.done(*load_blocks(load_file(small_cap(registers=True)), 200))
        assert isd.entry(Aid(PACKAGE)) is None  # a GET STATUS
        assert install(isd, 0x0E, b"", b"", CARD_1, NONE, b"\xc9\x00", b"", p2=3).sw == 0x6985
        assert isd.entry(Aid(PACKAGE)) is None

    def test_the_end_of_a_combined_process_without_its_beginning(self, isd: Host) -> None:
        """9.3.8: nor with another load file, nor before the last block, nor of a plain load."""
        end = (b"", b"", CARD_1, NONE, b"\xc9\x00", b"")
        assert install(isd, 0x0E, *end, p2=3).sw == 0x6985
        install(isd, 0x0E, PACKAGE, b"", b"", b"", b"", p2=1)
        assert install(isd, 0x0E, *end, p2=3).sw == 0x6985  # nothing was loaded
        pieces = load_blocks(load_file(small_cap()), 200)
        install(isd, 0x0E, PACKAGE, b"", b"", b"", b"", p2=1)
        isd.done(*pieces)
        assert install(isd, 0x0E, PAYMENT_PACKAGE, *end[1:], p2=3).sw == 0x6A80
        assert install(isd, 0x0E, *end, p2=3).sw == 0x6985  # it is over
        isd.done(InstallForLoad(Aid(PACKAGE)), *pieces)
        assert install(isd, 0x0E, *end, p2=3).sw == 0x6985

    @pytest.mark.parametrize("p1", [0x00, 0x01, 0x06, 0x0A, 0x0D, 0x14, 0x18, 0x30, 0x44, 0x60, 0x7F])
    def test_other_roles_are_none(self, isd: Host, p1: int) -> None:
        """Table 11-41."""
        assert install(isd, p1, *PAYMENT).sw == 0x6A86

    @pytest.mark.parametrize(
        ("p1", "p2"), [(0x0C, 1), (0x04, 3), (0x02, 1), (0x0E, 0), (0x0E, 2), (0x10, 1), (0x20, 0x80), (0x40, 3)]
    )
    def test_p2_says_something_of_combined_processes_only(self, isd: Host, p1: int, p2: int) -> None:
        """11.5.2.2."""
        assert install(isd, p1, *PAYMENT, p2=p2).sw == 0x6A86


class TestFields:
    """11.5.2.3: lengths and presence of each field."""

    def test_privileges_of_one_byte(self, isd: Host) -> None:
        """11.5.2.3.2, note: the second byte gets its default, for a domain Trusted Path (table 6-2)."""
        assert install(isd, 0x0C, SD_PACKAGE, SD_MODULE, BANK, b"\x80", b"\xc9\x00", b"").sw == 0x9000
        entry = isd.entry(BANK)
        assert entry is not None
        assert entry.privileges == Privilege.SECURITY_DOMAIN | Privilege.TRUSTED_PATH

    @pytest.mark.parametrize("privileges", [b"", b"\0\0", bytes(4)])
    def test_privileges_of_another_length(self, isd: Host, privileges: bytes) -> None:
        assert install(isd, 0x0C, *PAYMENT[:3], privileges, PARAMETERS, b"").sw == 0x6A80

    def test_card_reset_comes_with_being_selectable(self, isd: Host) -> None:
        """11.5.2.3.2: it cannot be set when the application is only installed."""
        assert install(isd, 0x04, *PAYMENT[:3], b"\x04\0\0", PARAMETERS, b"").sw == 0x6A80
        assert install(isd, 0x0C, *PAYMENT[:3], b"\x04\0\0", PARAMETERS, b"").sw == 0x9000

    def test_the_load_file_may_be_left_out(self, isd: Host) -> None:
        """Table 11-43: conditional; the module's AID says it."""
        assert install(isd, 0x0C, b"", *PAYMENT[1:]).sw == 0x9000

    def test_the_only_module_may_be_left_out(self, isd: Host) -> None:
        """Table 11-43: the presence of the Executable Module AID depends on the runtime environment."""
        assert install(isd, 0x0C, PAYMENT_PACKAGE, b"", *PAYMENT[2:]).sw == 0x9000
        assert install(isd, 0x0C, b"", b"", CARD_2, *PAYMENT[3:]).sw == 0x6A88

    @pytest.mark.parametrize("length", [0, 4, 17])
    def test_an_instance_aid_has_5_to_16_bytes(self, isd: Host, length: int) -> None:
        assert install(isd, 0x0C, *PAYMENT[:2], bytes(length), *PAYMENT[3:]).sw == 0x6A80

    def test_parameters_of_128_bytes_may_have_a_length_of_80(self, isd: Host) -> None:
        """11.5.2.3.1 and on: the length 128 may also be coded on one byte as 80."""
        padded = PARAMETERS + b"\xea" + bytes((128 - len(PARAMETERS) - 2,)) + bytes(128 - len(PARAMETERS) - 2)
        assert len(padded) == 128
        data = lv(*PAYMENT[:4]) + b"\x80" + padded + b"\x00"
        assert isd.sw(CommandApdu(0x80, 0xE6, 0x0C, 0, data, 256)) == 0x9000

    @pytest.mark.parametrize("length", [127, 128, 200, 255, 256, 1000])
    def test_parameters_of_any_length(self, isd: Host, length: int) -> None:
        """Lengths of one, two and three bytes; what is no parameter of the card's is ignored."""
        filler = length - len(PARAMETERS) - (2 if length < 140 else 3 if length < 270 else 4)
        parameters = PARAMETERS + b"\xea" + lv(bytes(filler))
        assert install(isd, 0x0C, *PAYMENT[:4], parameters, b"").sw == 0x9000

    def test_every_truncation_is_refused(self, se: VirtualSe, isd: Host) -> None:
        for p1, fields in (
            (0x0C, PAYMENT),
            (0x08, (b"", b"", PPSE, NONE, b"", b"")),
            (0x10, (BANK, b"", PPSE, b"", b"", b"")),
            (0x40, (b"", b"", PPSE, NONE, b"\xef\x00", b"")),
            (0x20, (b"", b"", PPSE, b"", b"", b"")),
            (0x02, (PACKAGE, b"", b"", b"\xef\x00", b"")),
        ):
            data = lv(*fields)
            # The token's length may be left out as a whole (as GPShell 1 did); nothing else may.
            for cut in range(len(data) - 1):
                assert isd.sw(CommandApdu(0x80, 0xE6, p1, 0, data[:cut], 256)) == 0x6A80, (hex(p1), cut)
            assert isd.sw(CommandApdu(0x80, 0xE6, p1, 0, data + b"\0", 256)) == 0x6A80
        assert se.effects() == []


class TestParameters:
    """11.5.2.3.7, tables 11-49 to 11-53."""

    @pytest.mark.parametrize(
        "value",
        [
            b"\xc7\x02\x01\x00",
            b"\xc8\x04\x00\x01\x00\x00",
            b"\xc7\x02\x01\x00\xd7\x02\x01\x00",
            b"\xc8\x02\x10\x00\xd8\x02\x01\x00",
            b"\xd7\x02\x10\x00\xd8\x04\x00\x00\x80\x00",
            b"\xcb\x02\x83\x00",
            b"\xca\x01\x00",
            b"\xcf\x01\x40",
            b"\xa0\x05\x80\x00\x81\x01\x01",
            b"",
        ],
    )
    def test_system_parameters(self, isd: Host, value: bytes) -> None:
        """C7, C8 quotas, D7, D8 reserved memory, CB global services, CA, CF implicit selection, A0 contactless."""
        assert install(isd, 0x0C, *PAYMENT[:4], in_system(value), b"").sw == 0x9000

    @pytest.mark.parametrize(
        "value",
        [
            b"\xc7\x01\x01",
            b"\xc8\x03\x00\x01\x00",
            b"\xd7\x00",
            b"\xc7\x02\x01\x00\xd7\x02\x01\x01",  # 9.7: a quota is not less than what is reserved
            b"\xc8\x02\x01\x00\xd8\x04\x00\x01\x00\x00",
            b"\xcb\x01\x83",
            b"\xcb\x00",
            b"\xc7\x02\x01",
            b"\xc7",
            b"\xc7\x84\x00\x00\x00\x02\x01\x00",
        ],
    )
    def test_malformed_system_parameters(self, se: VirtualSe, isd: Host, value: bytes) -> None:
        assert install(isd, 0x0C, *PAYMENT[:4], in_system(value), b"").sw == 0x6A80
        assert se.effects() == []

    def test_parameters_that_the_toolkit_has(self, isd: Host) -> None:
        """EA (TS 102 226) and the control reference template B6 with 5F20 are taken, with or without a token."""
        extra = b"\xea\x05\x80\x03\x01\x02\x03" + b"\xb6\x07\x5f\x20\x01\x09\x93\x01\x01"
        assert install(isd, 0x0C, *PAYMENT[:4], PARAMETERS + extra, b"").sw == 0x9000
        wrong = (b"\xb6\x02\x93\x00", b"\xb6\x02\x93\x01", b"\xea\x05\x80")
        for parameters in wrong:
            assert install(isd, 0x0C, *PAYMENT[:2], CARD_2, NONE, PARAMETERS + parameters, b"").sw == 0x6A80

    def test_implicit_selection_is_added_to(self, isd: Host) -> None:
        """Table 11-49, note: CF may occur in several INSTALL commands, appending."""
        assert install(isd, 0x04, *PAYMENT[:4], in_system(b"\xcf\x01\x41\xcf\x01\x42"), b"").sw == 0x9000
        entry = isd.entry(CARD_1)
        assert entry is not None
        assert entry.implicit_selection == b"\x41\x42"

    def test_application_parameters_reach_the_applet_up_to_what_an_applet_can_take(self, isd: Host) -> None:
        """JC API 3.0.5, Applet.install: the array has at most 127 bytes."""
        most = 127 - 1 - len(CARD_1) - 1 - 3 - 1
        label = b"\x50\x04Bank\x87\x01\x01\xc2\x01\x04"
        for length, sw in ((most, 0x9000), (most + 1, 0x6A80)):
            value = label + b"\xdf\x01" + bytes((length - len(label) - 3,)) + bytes(length - len(label) - 3)
            parameters = InstallParameters(application=value).encode()
            assert install(isd, 0x0C, *PAYMENT[:4], parameters, b"").sw == sw
            isd.delete(CARD_1)


class TestRestrictions:
    """11.5.2.3.7, table 11-53: D9 takes functions away, for ever."""

    def test_of_one_domain(self, isd: Host) -> None:
        managing = Privilege.SECURITY_DOMAIN | Privilege.AUTHORIZED_MANAGEMENT | Privilege.TRUSTED_PATH
        domain(isd, BANK, managing, BANK_KEYS)
        bank = isd.into(BANK, BANK_KEYS)
        bank.new_payment(CARD_1)
        isd.into(ISD, ISD_KEYS)
        assert install(isd, 0x40, b"", b"", BANK, b"", b"\xef\x03\xd9\x01\x05", b"").sw == 0x9000
        bank = isd.into(BANK, BANK_KEYS)
        assert bank.delete(CARD_1) == 0x6985
        assert install(bank, 0x0C, PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_2, NONE, PARAMETERS, b"").sw == 0x6985
        assert bank.sw(InstallForPersonalization(CARD_1)) == 0x9000
        isd.into(ISD, ISD_KEYS)
        assert install(isd, 0x40, b"", b"", BANK, b"", b"\xef\x03\xd9\x01\x00", b"").sw == 0x9000  # adds nothing
        assert isd.into(BANK, BANK_KEYS).delete(CARD_1) == 0x6985
        assert isd.into(ISD, ISD_KEYS).delete(CARD_1) == 0x9000  # the issuer is not restricted

    @pytest.mark.parametrize(
        ("bit", "refused"),
        [
            (0x01, "delete"),
            (0x02, "load"),
            (0x04, "install"),
            (0x08, "make selectable"),
            (0x10, "extradite"),
            (0x20, "personalize"),
            (0x40, "update"),
        ],
    )
    def test_of_the_whole_card(self, isd: Host, bit: int, refused: str) -> None:
        """9.4.2.1: without an application AID, for all domains: the issuer's too."""
        domain(isd, BANK, Privilege.SECURITY_DOMAIN, BANK_KEYS)
        isd.new_payment(CARD_1)
        isd.done(InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_2, make_selectable=False))
        assert install(isd, 0x40, b"", b"", b"", b"", bytes((0xEF, 3, 0xD9, 1, bit)), b"").sw == 0x9000
        third = Aid(OWN + b"\x0b\x03\x03")
        answers = {
            "personalize": isd.sw(InstallForPersonalization(CARD_1)),
            "load": isd.sw(InstallForLoad(Aid(PACKAGE))),
            "install": isd.sw(InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, third, make_selectable=False)),
            "make selectable": isd.sw(InstallForMakeSelectable(CARD_2)),
            "extradite": isd.sw(InstallForExtradition(BANK, CARD_1)),
            "update": isd.sw(InstallForRegistryUpdate(CARD_1)),
            "delete": isd.delete(CARD_2),
        }
        assert answers == {name: 0x6985 if name == refused else 0x9000 for name in answers}

    def test_it_takes_global_lock_and_a_parameter(self, isd: Host) -> None:
        """9.4.2.1: when restricting the OPEN, a Security Domain with the Global Lock privilege."""
        assert install(isd, 0x40, b"", b"", b"", b"", b"", b"").sw == 0x6A80
        assert install(isd, 0x40, b"", b"", b"", b"", b"\xef\x03\xd9\x01\x80", b"").sw == 0x6A80
        assert install(isd, 0x40, b"", b"", b"", NONE, b"\xef\x03\xd9\x01\x01", b"").sw == 0x6A80
        domain(isd, BANK, Privilege.SECURITY_DOMAIN | Privilege.AUTHORIZED_MANAGEMENT, BANK_KEYS)
        bank = isd.into(BANK, BANK_KEYS)
        assert install(bank, 0x40, b"", b"", b"", b"", b"\xef\x03\xd9\x01\x01", b"").sw == 0x6985


class TestChaining:
    """11.1.5.1: INSTALL and DELETE in several commands, b8 of P1 set on all but the last."""

    def test_in_clear_pieces_of_a_secured_command(self, host: Host) -> None:
        """The MAC is over the command as a whole, and comes at the end of the last piece; R-MAC on that answer only."""
        for level in (0x01, 0x03, 0x33):
            host.into(ISD, ISD_KEYS, SecurityLevel.parse(level))
            command = InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_1, parameters=PARAMETERS)
            assert chained(host, command.apdu(), 20) == 0x9000
            assert host.delete(CARD_1) == 0x9000

    def test_longer_than_255_bytes(self, isd: Host) -> None:
        parameters = PARAMETERS + b"\xea" + lv(bytes(600))
        command = InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_1, parameters=parameters)
        assert chained(isd, command.apdu(), 255) == 0x9000
        assert isd.entry(CARD_1) is not None

    def test_delete_in_pieces(self, isd: Host) -> None:
        isd.new_payment(CARD_1)
        assert chained(isd, CommandApdu(0x80, 0xE4, 0, 0, b"\x4f" + lv(CARD_1), 256), 5) == 0x9000
        assert isd.entry(CARD_1) is None

    def test_the_host_s_pieces(self, host: Host) -> None:
        """`split_install` cuts a plain command; what comes unsecured is refused as a whole, at the end."""
        host.into(ISD, ISD_KEYS)
        pieces = split_install(InstallForInstall(PAYMENT_PACKAGE, PAYMENT_MODULE, CARD_1), 20)
        *first, last = [host.plain(piece).sw for piece in pieces]
        assert set(first) == {0x9000}
        assert last == 0x6982

    @pytest.mark.parametrize(
        "between",
        [
            CommandApdu(0x84, 0xE6, 0x84, 0x00, b"\x01"),
            CommandApdu(0x84, 0xE6, 0x8C, 0x01, b"\x01"),
            CommandApdu(0x84, 0xE4, 0x80, 0x00, b"\x01"),
            CommandApdu(0x80, 0xE6, 0x8C, 0x00, b"\x01"),
            CommandApdu(0x80, 0xCA, 0x00, 0x66, b"", 256),
        ],
    )
    def test_what_comes_between_ends_the_chain(self, isd: Host, between: CommandApdu) -> None:
        """All the commands directly follow each other with the same header: else 6985."""
        assert isd.plain(CommandApdu(0x84, 0xE6, 0x8C, 0x00, b"\x01\x02")).sw == 0x9000
        assert isd.plain(between).sw == 0x6985
        assert isd.plain(CommandApdu(0x80, 0xCA, 0x00, 0x66, b"", 256)).sw == 0x9000

    def test_a_chain_without_end_is_refused(self, isd: Host) -> None:
        """If the chaining limit has been reached: 6A86."""
        piece = CommandApdu(0x84, 0xE6, 0x8C, 0x00, bytes(255))
        answers = [isd.plain(piece).sw for _ in range(140)]
        assert answers[:128] == [0x9000] * 128
        assert 0x6A86 in answers[128:]


def chained(host: Host, apdu: CommandApdu, size: int) -> int:
    """Secure a command, send it in pieces, and return the status word of the last."""
    assert host.session is not None
    secured = host.session.wrap(apdu)
    data = [secured.data[start : start + size] for start in range(0, len(secured.data), size)]
    for piece in data[:-1]:
        answer = host.plain(CommandApdu(secured.cla, secured.ins, secured.p1 | 0x80, secured.p2, piece))
        assert (answer.sw, answer.data) == (0x9000, b"")
    last = host.plain(CommandApdu(secured.cla, secured.ins, secured.p1, secured.p2, data[-1], 256))
    return host.session.unwrap(last).sw


class TestOwners:
    """9.3.3, 9.3.6: who what is installed belongs to."""

    def test_an_application_is_its_load_file_s_domain_s(self, isd: Host) -> None:
        """An issuer installs from a load file of a domain under it: the application is that domain's."""
        domain(isd, BANK, Privilege.SECURITY_DOMAIN, BANK_KEYS)
        assert isd.extradite(PAYMENT_PACKAGE, BANK) == 0x9000
        isd.new_payment(CARD_1)
        entry = isd.entry(CARD_1)
        assert entry is not None
        assert entry.associated_sd == BANK

    def test_a_domain_is_its_installer_s(self, isd: Host) -> None:
        domain(isd, BANK, Privilege.SECURITY_DOMAIN | Privilege.AUTHORIZED_MANAGEMENT, BANK_KEYS)
        assert isd.extradite(SD_PACKAGE, BANK) == 0x9000
        other = Aid(OWN + b"\x0a\x00\x09")
        isd.new_domain(other)
        entry = isd.entry(other)
        assert entry is not None
        assert entry.associated_sd == ISD

    def test_what_is_made_of_a_load_file_of_the_domain_above_is_the_installer_s(self, isd: Host) -> None:
        """The card's choice: a domain could not manage, or personalize, what it installs otherwise."""
        domain(isd, BANK, Privilege.SECURITY_DOMAIN | Privilege.AUTHORIZED_MANAGEMENT, BANK_KEYS)
        bank = isd.into(BANK, BANK_KEYS)
        bank.new_payment(CARD_1)
        entry = bank.entry(CARD_1)
        assert entry is not None
        assert entry.associated_sd == BANK
