from __future__ import annotations

import pytest

from opentsm_build import api
from opentsm_card.errors import CapError

SIGN = "signPreComputedHash([BSS[BS)S"


def test_a_release_has_what_it_came_with_and_no_more() -> None:
    old, new = (api.java_card(release)["javacard/security"] for release in ("3.0.1", "3.0.4"))
    assert (old.version, new.version) == ((1, 4), (1, 5))
    assert SIGN not in old.classes["javacard/security/Signature"].methods
    assert new.classes["javacard/security/Signature"].methods[SIGN].token == 9
    assert "javacardx/framework/string" not in api.java_card("3.0.1")


def test_aid_became_final_at_2_2_1() -> None:
    key = "RIDEquals(Ljavacard/framework/AID;)Z"
    flags = [
        api.java_card(release)["javacard/framework"].classes["javacard/framework/AID"].methods[key].access & 0x10
        for release in ("2.1.1", "2.2.1")
    ]
    assert flags == [0, 0x10]


def test_a_constant_has_its_value() -> None:
    field = api.java_card("2.1.1")["javacard/framework"].classes["javacard/framework/ISO7816"].fields["SW_NO_ERRORS"]
    assert (field.token, field.constant) == (255, -0x7000)


def test_packages_of_others_are_named_with_a_version() -> None:
    assert api.versions("org/globalplatform")[-1] == "1.7"
    old, new = (api.package("uicc/usim/geolocation", version) for version in ("1.0", "2.0"))
    assert (old.aid, old.version, new.version) == (new.aid, (1, 0), (2, 0))
    assert api.package("org/globalplatform", "1.1").classes["org/globalplatform/GPSystem"].methods[
        "getCardContentState()B"
    ] == api.ApiMethod(1, 9, "getCardContentState", "()B")


def test_what_is_not_there_is_named_with_what_is() -> None:
    with pytest.raises(CapError, match=r"no Java Card release '2\.3'; there are 2\.1\.1"):
        api.java_card("2.3")
    with pytest.raises(CapError, match=r"no org\.globalplatform 9\.0; there are 1\.0, 1\.1"):
        api.package("org/globalplatform", "9.0")
