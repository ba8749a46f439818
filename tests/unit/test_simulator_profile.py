from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from opentsm_card.errors import ProtocolError
from opentsm_card.privileges import Privilege
from opentsm_simulator.profile import load_keys, load_profile, profile_names

if TYPE_CHECKING:
    from pathlib import Path

KEY = "404142434445464748494A4B4C4D4E4F"
PROFILE = """
summary = "s"
secure_element_type = "embedded"
[keys.isd]
version = 48
enc = "404142434445464748494A4B4C4D4E4F"
mac = "404142434445464748494A4B4C4D4E4F"
dek = "404142434445464748494A4B4C4D4E4F"
[[instances]]
aid = "A000000151000000"
load_file = "A0000001515350"
module = "A000000151535041"
privileges = "9EFE80"
keys = "isd"
[[instances]]
aid = "F0000000A1"
load_file = "F000000001"
module = "F00000000101"
domain = "A000000151000000"
"""


def test_the_profiles_of_the_package() -> None:
    assert profile_names() == ("embedded", "embedded-third-parties", "uicc", "uicc-third-parties")
    embedded, uicc = load_profile("embedded"), load_profile("uicc")
    assert embedded.name == "embedded"
    assert [instance.aid for instance in embedded.instances] == [
        "A000000151000000",
        "325041592E5359532E4444463031",
        "A00000015143525300",
    ]
    central = uicc.instances[1]
    assert Privilege.parse(bytes.fromhex(central.privileges)) == (
        Privilege.SECURITY_DOMAIN | Privilege.TRUSTED_PATH | Privilege.AUTHORIZED_MANAGEMENT
    )
    assert central.state_value == 0x0F
    assert uicc.instances[2].domain == central.aid
    assert set(uicc.key_sets()) == {"isd", "central"}
    assert (embedded.secure_element_value, uicc.secure_element_value) == (2, 1)
    assert (embedded.atr_bytes, uicc.atr_bytes) == (bytes.fromhex("3B800181"), bytes.fromhex("3B8000"))


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("version = 48", "version = 0", "keys"),
        (f'enc = "{KEY}"', f'enc = "{KEY}00"', "keys.isd: the keys of a set have one length"),
        (f'enc = "{KEY}"', 'enc = "4"', "enc"),
        ('keys = "isd"', 'keys = "other"', r"instances\[0\]: there are no keys.other"),
        ('privileges = "9EFE80"', 'privileges = "9E"', r"privileges"),
        ('privileges = "9EFE80"', 'privileges = "000000"', r"instances\[0\]"),
        ('domain = "A000000151000000"', "", r"instances\[1\]: the issuer"),
        ('domain = "A000000151000000"', 'domain = "F0000000B1"', r"instances\[1\]: its domain F0000000B1"),
        ('aid = "F0000000A1"', 'aid = "F0"', "aid"),
        ('summary = "s"', 'summary = "s"\nsurprise = 1', "surprise"),
        ('summary = "s"', "", "summary"),
        ('summary = "s"', "summary =", "line 2"),
    ],
)
def test_a_profile_that_is_not_valid_says_where(tmp_path: Path, old: str, new: str, place: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(PROFILE)
    assert load_profile(str(path)).name == "own"
    path.write_text(PROFILE.replace(old, new, 1))
    with pytest.raises(ProtocolError, match=place) as caught:
        load_profile(str(path))
    assert str(path) in str(caught.value)


def test_a_profile_that_is_not_there_is_said_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="embedded, embedded-third-parties, uicc"):
        load_profile("sim")
    with pytest.raises(ProtocolError, match="no such file"):
        load_profile(str(tmp_path / "none.toml"))


def test_folders_of_packages_are_relative_to_the_profile(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('packages = ["mine"]\n' + PROFILE)
    assert load_profile(str(path)).packages == (str(tmp_path / "mine"),)


def test_keys_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(f'[isd]\nversion = 1\nenc = "{KEY}"\nmac = "{KEY}"\ndek = "{KEY}"\n')
    keys = load_keys(path)
    assert (keys["isd"].version, keys["isd"].dek) == (1, bytes.fromhex(KEY))


def test_an_error_in_a_keys_file_tells_no_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(f'[isd]\nversion = 1\nenc = "{KEY}"\nmac = "{KEY}0"\ndek = "{KEY}"\n')
    with pytest.raises(ProtocolError, match=r"\[isd\]") as caught:
        load_keys(path)
    assert KEY not in str(caught.value)
    assert KEY not in repr(load_profile("embedded"))
