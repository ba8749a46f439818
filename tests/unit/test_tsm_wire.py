from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentsm_tsm import gateway_messages, messages, openapi, operator_messages
from opentsm_tsm.wire import Hex, WireError, decode, encode


@given(st.binary(max_size=64), st.sampled_from(["lower", "upper"]))
def test_bytes_are_hexadecimal_strings_on_the_wire(value: bytes, case: str) -> None:
    entry = messages.ScriptEntry(apdu=Hex(value))
    document = encode(entry)
    assert json.loads(document)["apdu"] == value.hex().upper()
    written = getattr(value.hex(), case)()
    assert decode(json.dumps({"apdu": written}).encode(), messages.ScriptEntry) == entry


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (b"{", "$"),
        (b"\xff", "$"),
        (b"[]", "$"),
        (b'{"msi": 5}', "$.msi"),
        (b'{"msi": "12345", "extra": 1}', "$"),
        (b'{"msi": "not a number"}', "$.msi"),
        (b"{}", "$"),
    ],
)
def test_a_bad_document_names_the_place(document: bytes, path: str) -> None:
    with pytest.raises(WireError) as caught:
        decode(document, messages.CheckGlobalEligibility)
    assert caught.value.path == path


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("name", sorted(messages.FUNCTIONS))
@given(data=st.data())
def test_any_document_is_a_request_or_an_error_that_names_the_place(name: str, data: st.DataObject) -> None:
    kind = messages.FUNCTIONS[name].request
    members = [field.encode_name for field in msgspec.structs.fields(kind)]
    document = data.draw(st.dictionaries(st.sampled_from(members), _JSON, max_size=len(members)) | _JSON)
    try:
        request = decode(json.dumps(document).encode(), kind)
    except WireError:
        return
    assert decode(encode(request), kind) == request


@pytest.mark.parametrize("apdu", ["0", "0g", " 00", "00\n", "0x00"])
def test_what_is_not_hexadecimal_is_refused_with_its_place(apdu: str) -> None:
    document = json.dumps({"target": "A000000001", "seId": "x", "script": [{"apdu": "00"}, {"apdu": apdu}]})
    with pytest.raises(WireError) as caught:
        decode(document.encode(), messages.SendScript)
    assert caught.value.path == "$.script[1].apdu"
    assert apdu not in caught.value.reason or len(apdu) == 1


def test_secrets_are_in_no_repr() -> None:
    secret = Hex(bytes.fromhex("DEADBEEF") * 4)
    keys = messages.KeySetDocument(sd=Hex(b"12345"), version=48, enc=secret, mac=secret, dek=secret)
    shown = " ".join(
        repr(value)
        for value in (
            keys,
            messages.ScriptEntry(apdu=secret),
            operator_messages.EnrolRequest(code="TOPSECRET", csr="x"),
            gateway_messages.WakeUp(session="TOPSECRET"),
            gateway_messages.PushRequest(se="se-1", session="TOPSECRET"),
            operator_messages.EnrolmentCodeReply(code="TOPSECRET", until=0.0),
        )
    )
    assert "TOPSECRET" not in shown
    assert secret.hex()[9:] not in shown.lower()


def test_openapi_describes_every_function_and_refers_to_nothing_missing() -> None:
    document = json.loads(openapi.document())
    assert document["openapi"] == "3.1.0"
    schemas = document["components"]["schemas"]
    for name, function in messages.FUNCTIONS.items():
        item = document["paths"][f"{messages.BASE}/{name}"]["post"]
        body = item["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        assert body.rpartition("/")[2] == function.request.__name__
        assert ("202" in item["responses"]) == function.operation

    def references(node: object) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if "$ref" in node else []
            return own + [found for value in node.values() for found in references(value)]
        return [found for value in node for found in references(value)] if isinstance(node, list) else []

    found = references(document)
    assert len(found) > 50
    assert {reference.rpartition("/")[2] for reference in found} <= schemas.keys()
    assert schemas["ScriptEntry"]["properties"]["apdu"]["pattern"] == "^([0-9A-Fa-f]{2})*$"
    page = openapi.page()
    assert all(name in page for name in messages.FUNCTIONS)
