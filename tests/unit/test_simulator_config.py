from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from opentsm_card.errors import ProtocolError
from opentsm_simulator.cli import se
from opentsm_simulator.config import SeConfig, load_config, parse_address

if TYPE_CHECKING:
    from pathlib import Path


def test_a_configuration_names_ses_and_their_fronts(tmp_path: Path) -> None:
    path = tmp_path / "se.toml"
    path.write_text(
        """
        [[se]]
        id = "a"
        profile = "embedded"
        tcp = "127.0.0.1:0"
        keys_file = "keys.toml"
        [[se]]
        id = "b"
        profile = "own.toml"
        contactless = "[::1]:7000"
        vpcd = "localhost:35963"
        effects = "b.log"
        """
    )
    assert load_config(path) == (
        SeConfig("a", "embedded", tcp=("127.0.0.1", 0), keys_file=tmp_path / "keys.toml"),
        SeConfig(
            "b",
            str(tmp_path / "own.toml"),
            contactless=("::1", 7000),
            vpcd=("localhost", 35963),
            effects=tmp_path / "b.log",
        ),
    )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "se"),
        ("se = []", "se"),
        ('[[se]]\nid = "a"', "profile"),
        ('[[se]]\nid = ""\nprofile = "embedded"', "id"),
        ('[[se]]\nid = "a"\nprofile = "embedded"\nport = 1', "port"),
        ('[[se]]\nid = "a"\nprofile = "embedded"\ntcp = "nowhere"', "se 'a': 'nowhere' is not HOST:PORT"),
        ('[[se]]\nid = "a"\nprofile = "x"\n[[se]]\nid = "a"\nprofile = "x"', "more than one SE is named a"),
        ("[[se]", "line 1"),
    ],
)
def test_a_configuration_that_is_not_valid_says_where(tmp_path: Path, text: str, place: str) -> None:
    path = tmp_path / "se.toml"
    path.write_text(text)
    with pytest.raises(ProtocolError, match=place) as caught:
        load_config(path)
    assert str(path) in str(caught.value)


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match=r"none\.toml"):
        load_config(tmp_path / "none.toml")


@pytest.mark.parametrize("text", ["", ":1", "host", "host:", "host:x", "host:65536", "host:-1"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ProtocolError):
        parse_address(text)


def test_the_profiles_are_listed() -> None:
    result = CliRunner().invoke(se, ["profiles", "--json"])
    names = ("embedded", "embedded-third-parties", "uicc", "uicc-third-parties")
    assert tuple(entry["name"] for entry in json.loads(result.output)["profiles"]) == names
    assert "uicc " in CliRunner().invoke(se, ["profiles"]).output


@pytest.mark.parametrize("arguments", [[], ["--config", "x", "--profile", "embedded"], ["--count", "0"]])
def test_wrong_usage_of_run(arguments: list[str]) -> None:
    assert CliRunner().invoke(se, ["run", *arguments]).exit_code == 2


def test_ports_past_the_last_are_refused() -> None:
    result = CliRunner().invoke(se, ["run", "--profile", "embedded", "--tcp", "65535", "--count", "2"])
    assert isinstance(result.exception, ProtocolError)


def test_a_reader_alone_asks_for_an_embedded_se() -> None:
    for told in ("127.0.0.1", "127.0.0.1:99999"):
        result = CliRunner().invoke(se, ["run", "--vpcd", told])
        assert told in str(result.exception), "not: give either --config or --profile"


def test_a_reader_of_the_host_s_own_pcscd(tmp_path: Path) -> None:
    path = tmp_path / "se.toml"
    path.write_text('[[se]]\nid = "a"\nprofile = "embedded"\nvpcd = "auto"\n')
    assert load_config(path) == (SeConfig("a", "embedded", reader=True),)
