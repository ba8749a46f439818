"""agent.toml: what it says, and the errors that name the place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from opentsm_agent.config import load_config
from opentsm_agent.handshake import SecureElement
from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """\
[tsm]
url = "https://tsm.test:8443/base/"
[network]
gateway = "https://gateway.test:9443"
[identity]
certificate = "device.pem"
key = "/elsewhere/device.key"
ca = "ca.pem"
[journal]
path = "state/journal"
[[se]]
id = "8900"
type = "eSE"
link = "tcp:127.0.0.1:35963"
[[se]]
id = "8901"
type = "uicc"
link = "pcsc:Virtual PCD"
timeout_s = 5
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent.toml"


def test_paths_are_relative_to_the_file(path: Path) -> None:
    path.write_text(TEXT)
    config = load_config(path)
    assert config.tsm_url == "https://tsm.test:8443/base/"
    assert config.identity.certificate == path.parent / "device.pem"
    assert str(config.identity.key) == "/elsewhere/device.key"
    assert config.network.ca == config.identity.ca == path.parent / "ca.pem"
    assert config.journal == path.parent / "state" / "journal"
    assert [se.element for se in config.secure_elements] == [
        SecureElement("eSE", "8900"),
        SecureElement("uicc", "8901"),
    ]
    assert [se.timeout_s for se in config.secure_elements] == [30, 5]


def test_a_gateway_may_have_a_ca_of_its_own(path: Path) -> None:
    path.write_text(TEXT.replace('9443"', '9443"\nca = "gateway-ca.pem"'))
    assert load_config(path).network.ca == path.parent / "gateway-ca.pem"


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("[tsm]", "[tms]", "tms|tsm"),
        ('url = "https', 'url = "http', "https://HOST:PORT"),
        ("tsm.test:8443", "user@tsm.test:8443", "no user"),
        ("tsm.test:8443", "tsm.test:99999", "99999"),
        ('type = "eSE"', 'type = "ese"', r"\$\.se\[0\]\.type"),
        ('id = "8901"', 'id = "8900"', r"\$\.se"),
        ('id = "8901"', 'id = ""', r"\$\.se\[1\]\.id"),
        ("tcp:127", "tpc:127", "tpc"),
        ("timeout_s = 5", "timeout_s = 0", "timeout_s"),
        ("timeout_s = 5", "timeout = 5", "timeout"),
        ('path = "state/journal"', "", "path"),
        ("[[se]]", "[[es]]", "es"),
        ("[journal]", "[journal", "line 9"),
    ],
)
def test_a_wrong_value_names_file_and_place(path: Path, old: str, new: str, place: str) -> None:
    path.write_text(TEXT.replace(old, new))
    with pytest.raises(ProtocolError, match=place) as caught:
        load_config(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_a_clear_error(path: Path) -> None:
    with pytest.raises(ProtocolError, match="No such file"):
        load_config(path)
