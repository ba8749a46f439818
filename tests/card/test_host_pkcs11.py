"""`opentsm card` with keys in a PKCS#11 token: SoftHSM, whose keys are neither readable nor exported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pkcs11
import pytest

from opentsm_card.errors import ProtocolError
from opentsm_tools.card.pkcs11_keys import log_out, parse_uri
from sd_host import BANK, ISD, ISD_KEYS, keys, service_provider
from softhsm import PIN, SoftHsm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from card_cli import CardDoor

BANK_KEYS = keys(0x31, 1, 32)


@pytest.fixture(scope="module", name="token")
def _token(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of a token with the bank's three keys, and one key that is a published test key."""
    hsm = SoftHsm(tmp_path_factory.mktemp("softhsm"), "opentsm")
    with pytest.MonkeyPatch.context() as patch:
        # SoftHSM reads it when the library is loaded, once in a process.
        patch.setenv("SOFTHSM2_CONF", str(hsm.configuration))
        loaded = pkcs11.lib(hsm.library)
        with loaded.get_token(token_label="opentsm").open(rw=True, user_pin=PIN) as session:
            for label, value in (
                ("bank-enc", BANK_KEYS.enc),
                ("bank-mac", BANK_KEYS.mac),
                ("bank-dek", BANK_KEYS.dek),
                ("test", ISD_KEYS.enc),
                ("half-enc", BANK_KEYS.enc),
            ):
                session.create_object(
                    {
                        pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY,
                        pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType.AES,
                        pkcs11.Attribute.LABEL: label,
                        pkcs11.Attribute.VALUE: value,
                        pkcs11.Attribute.TOKEN: True,
                        pkcs11.Attribute.SENSITIVE: True,
                        pkcs11.Attribute.EXTRACTABLE: False,
                        pkcs11.Attribute.SIGN: True,
                        pkcs11.Attribute.ENCRYPT: True,
                    }
                )
    return f"pkcs11:token=opentsm;object=NAME?module-path={hsm.library}&pin-source=file:{hsm.pin}"


@pytest.fixture(autouse=True)
def _logged_out() -> Iterator[None]:
    yield
    log_out()


def test_a_session_of_keys_that_never_leave_the_token(card: CardDoor, token: str) -> None:
    service_provider(card.se, ISD, ISD_KEYS, BANK, BANK_KEYS)
    access = ("--sd", str(BANK), "--pkcs11", token.replace("NAME", "bank"))
    checked = card.json(*access, "keys", "check", keys=None)
    assert (checked["key_version"], checked["algorithm"]) == (0x31, "AES-256")
    assert list(checked["check_values"].values()) == [value.hex().upper() for value in BANK_KEYS.check_values]
    listed = card.json(*access, "list", keys=None)
    assert str(BANK) in {entry["aid"] for entry in listed["applications"]}


def test_new_keys_are_encrypted_in_the_token(card: CardDoor, token: str, tmp_path: Path) -> None:
    service_provider(card.se, ISD, ISD_KEYS, BANK, BANK_KEYS)
    access = ("--sd", str(BANK), "--pkcs11", token.replace("NAME", "bank"))
    saved = tmp_path / "new.toml"
    put = ("keys", "rotate", "--new-version", "0x32", "--generate", "--save", saved, "--new-size", "24")
    assert card(*access, *put, keys=None).code == 0
    assert card("--sd", str(BANK), "--key-file", saved, "keys", "check", keys=None).code == 0


def test_a_published_key_is_one_in_a_token_too(card: CardDoor, token: str) -> None:
    access = ("--pkcs11", token.replace("NAME", "test"))
    assert "--test-card" in card.refused(1, *access, "list", keys=None)
    assert card(*access, "--test-card", "list", keys=None).code == 0


def test_what_the_token_lacks_or_refuses(card: CardDoor, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(uri: str, *arguments: str) -> str:
        return card.refused(4, "--pkcs11", uri, *arguments, "list", keys=None)

    assert "half-mac, half-dek" in told(token.replace("NAME", "half"))
    assert "no AES key labelled nobody" in told(token.replace("NAME", "nobody"))
    assert "PKCS#11 token other" in told(token.replace("token=opentsm", "token=other"))
    assert "PKCS#11 token opentsm" in told(token.replace("libsofthsm2", "libnowhere"))
    assert "diversification kdf3 is not done" in told(token.replace("NAME", "bank"), "--diversification", "kdf3")
    log_out()
    without_pin = token.replace("NAME", "bank").partition("&")[0]
    monkeypatch.setenv("OPENTSM_PKCS11_PIN", "9999")
    refused = told(without_pin)
    assert "PinIncorrect" in refused
    assert "9999" not in refused


@pytest.mark.parametrize(
    "uri",
    [
        "token=a;object=b?module-path=/x",
        "pkcs11:object=b?module-path=/x",
        "pkcs11:token=a?module-path=/x",
        "pkcs11:token=a;object=b",
        "pkcs11:token=a;token=c;object=b?module-path=/x",
        "pkcs11:token=a;object=b?module-path=/x&pin-value=1234",
        "pkcs11:token=a;object=b;slot-id=1?module-path=/x",
        "pkcs11:token=a;object=b?module-path=/x&colour=red",
    ],
)
def test_a_uri_that_says_too_little_or_too_much(uri: str) -> None:
    with pytest.raises(ProtocolError, match="--pkcs11") as caught:
        parse_uri(uri)
    assert "1234" not in str(caught.value)


def test_a_uri_is_percent_decoded() -> None:
    assert parse_uri("pkcs11:token=my%20token;object=a?module-path=/x%2Fy")["token"] == "my token"
