from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from opentsm_tsm import audit, enrolment, inventory, pki
from opentsm_tsm.config import SeSeed
from opentsm_tsm.operator_messages import EnrolRequest
from opentsm_tsm.problems import RefusalError
from opentsm_tsm.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

AUTHORITY = pki.CertificateAuthority.create("test CA")


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "tsm.sqlite") as store:
        with store.transaction():
            for name in ("ese-1", "ese-2"):
                seed = SeSeed(id=name, type="eSE", configuration="embedded", mno="north")
                inventory.add(store, seed, 48)
        yield store


def request(first: str, key: EllipticCurvePrivateKey | None = None) -> EnrolRequest:
    csr = pki.create_request(key if key is not None else pki.create_key(), "agent")
    return EnrolRequest(code=first, csr=csr.decode())


def code(store: Store, valid_s: float = 900) -> pki.EnrolmentCode:
    return enrolment.create_code(store, AUTHORITY.certificate, ("ese-1",), valid_s, "operator:x")[0]


def test_a_code_gives_a_certificate_for_its_ses(store: Store) -> None:
    reply = enrolment.enrol(store, AUTHORITY, request(code(store).first))
    certificate = pki.load_certificate(reply.certificate.encode())
    certificate.verify_directly_issued_by(AUTHORITY.certificate)
    assert pki.identity(certificate).names == (("se", "ese-1"),)
    assert reply.ses == ("ese-1",)
    assert pki.load_certificate(reply.ca.encode()) == AUTHORITY.certificate


def test_a_code_is_used_once_but_a_lost_answer_is_given_again(store: Store) -> None:
    first, key = code(store).first, pki.create_key()
    reply = enrolment.enrol(store, AUTHORITY, request(first, key))
    assert enrolment.enrol(store, AUTHORITY, request(first, key)) == reply
    with pytest.raises(RefusalError) as other:
        enrolment.enrol(store, AUTHORITY, request(first))
    with pytest.raises(RefusalError) as never:
        enrolment.enrol(store, AUTHORITY, request(pki.EnrolmentCode(bytes(16), bytes(32)).first))
    # Whoever guesses learns nothing from the answer; the audit log knows.
    assert other.value.problem == never.value.problem
    assert other.value.reason != never.value.reason


def test_a_code_ends(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first, key = code(store, valid_s=60).first, pki.create_key()
    enrolment.enrol(store, AUTHORITY, request(first, key))
    late = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: late)
    with pytest.raises(RefusalError, match="no such object"):
        enrolment.enrol(store, AUTHORITY, request(first, key))


@pytest.mark.parametrize("first", ["", "!!!!", "A" * 27, "A" * 25])
def test_what_is_no_code_is_refused_like_a_wrong_one(store: Store, first: str) -> None:
    with pytest.raises(RefusalError) as caught:
        enrolment.enrol(store, AUTHORITY, request(first))
    assert caught.value.problem.status == 404


def test_a_bad_request_uses_no_code_up(store: Store) -> None:
    first = code(store).first
    with pytest.raises(RefusalError) as caught:
        enrolment.enrol(store, AUTHORITY, EnrolRequest(code=first, csr="nonsense"))
    assert (caught.value.problem.status, caught.value.problem.path) == (400, "$.csr")
    assert enrolment.enrol(store, AUTHORITY, request(first)).ses == ("ese-1",)


def test_the_code_is_stored_as_a_hash_only(store: Store, tmp_path: Path) -> None:
    made = code(store)
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert made.secret not in files
    assert made.first.encode() not in files
    assert made.first not in repr(audit.read(store))


def test_no_code_for_an_unknown_se(store: Store) -> None:
    with pytest.raises(RefusalError):
        enrolment.create_code(store, AUTHORITY.certificate, ("ese-1", "nowhere"), 900, "operator:x")
