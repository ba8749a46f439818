"""DAP and mandated DAP verification, hashes that must be strong enough, ciphered load files.

Spec: GP Card Specification 2.3.1, 9.2.1, 9.3.5, 11.6.2.3 (table 11-58), C.1.2, C.1.3, C.2 (table C-3), C.3, C.6.
"""

from __future__ import annotations

import hashlib

import pytest

from content_keys import CIPHER_VERSION, DAP_VERSION, HASHES, KINDS, flips, independent_signature, put_key, signing_key
from delegation import delegation, domain
from opentsm_card.aid import Aid
from opentsm_card.dap import decipher_block, encipher_block, load_file_hash, sign_dap
from opentsm_card.errors import ProtocolError
from opentsm_card.install import InstallForExtradition, InstallForLoad
from opentsm_card.load import CipheredBlock, DapBlock, load_blocks, load_file
from opentsm_card.privileges import Privilege
from opentsm_card.signatures import MacKey
from opentsm_simulator import VirtualSe
from sd_host import BANK, ISD, ISD_KEYS, PPSE, TRANSIT, Host, keys
from small_cap import LIBRARY, PACKAGE, small_cap

BANK_KEYS, TRANSIT_KEYS = keys(0x31, 1), keys(0x32, 2)
ELF = Aid(PACKAGE)
BLOCK = small_cap()
DAP = Privilege.SECURITY_DOMAIN | Privilege.DAP_VERIFICATION
MANDATED = DAP | Privilege.MANDATED_DAP_VERIFICATION
CIPHERED = Privilege.SECURITY_DOMAIN | Privilege.CIPHERED_LOAD_FILE_DATA_BLOCK


def verifier(privileges: Privilege = DAP, version: int = DAP_VERSION, kind: str | None = "aes-128") -> Host:
    """Return the issuer's host on a card with the bank's domain, whose key is of a kind."""
    host = Host(VirtualSe.create("embedded").link()).into(ISD, ISD_KEYS)
    domain(host, BANK, privileges, BANK_KEYS)
    if kind is not None:
        put_key(host.into(BANK, BANK_KEYS), version, signing_key(kind, 5)).require("PUT KEY")
    return host.into(ISD, ISD_KEYS)


def load(
    host: Host,
    *daps: DapBlock,
    block: bytes | CipheredBlock = BLOCK,
    digest: bytes = b"",
    owner: Aid | None = BANK,
) -> int:
    """Load and return the last status word."""
    host.done(InstallForLoad(ELF, owner, hash=digest))
    *pieces, last = load_blocks(load_file(block, daps), 230)
    host.done(*pieces)
    return host.sw(last)


def dap(kind: str, digest: bytes, aid: Aid = BANK) -> DapBlock:
    return DapBlock(aid, independent_signature(signing_key(kind, 5), digest))


@pytest.mark.parametrize("kind", KINDS)
def test_a_domain_with_dap_verification_takes_what_is_signed_for_it(kind: str) -> None:
    """9.2.1, C.3: the signature of the load file data block hash, under each kind of key."""
    host = verifier(kind=kind)
    digest = load_file_hash(BLOCK, HASHES[kind])
    assert load(host, digest=digest) == 0x6985  # no DAP block
    assert load(host, dap(kind, digest), digest=digest) == 0x9000
    entry = host.entry(ELF)
    assert entry is not None
    assert entry.associated_sd == BANK
    assert host.delete(ELF) == 0x9000
    assert load(host, sign_dap(signing_key(kind, 5), BANK, digest), digest=digest) == 0x9000


@pytest.mark.parametrize("kind", ["des", "aes-256", "rsa-1024", "p-256", "p-384"])
def test_a_flipped_bit_anywhere_is_refused(kind: str) -> None:
    host = verifier(kind=kind)
    digest = load_file_hash(BLOCK, HASHES[kind])
    right = dap(kind, digest).signature
    for flipped in flips(right):
        assert load(host, DapBlock(BANK, flipped), digest=digest) == 0x6982
    for cut in (right[:-1], right + b"\0", right[:1]):
        assert load(host, DapBlock(BANK, cut), digest=digest) == 0x6982
    assert load(host, DapBlock(BANK, right), digest=digest) == 0x9000


def test_the_hash_is_required_and_is_what_is_signed() -> None:
    """11.5.2.3.1: mandatory if the load file contains DAP blocks; a DAP of another file's hash is worth nothing."""
    host = verifier()
    digest = load_file_hash(BLOCK)
    assert load(host, dap("aes-128", digest)) == 0x6985
    other = load_file_hash(small_cap(version=(2, 0)))
    assert load(host, dap("aes-128", other), digest=digest) == 0x6982
    assert load(host, dap("aes-128", other), digest=other) == 0x6A80


@pytest.mark.parametrize(("kind", "weak"), [("p-256", "sha1"), ("rsa-2048", "sha1"), ("p-384", "sha256")])
def test_a_hash_weaker_than_the_signature_s_is_refused(kind: str, weak: str) -> None:
    """Table C-3."""
    host = verifier(kind=kind)
    digest = load_file_hash(BLOCK, weak)
    assert load(host, dap(kind, digest), digest=digest) == 0x6985
    strong = load_file_hash(BLOCK, "sha512")
    assert load(host, dap(kind, strong), digest=strong) == 0x9000


def test_mandated_dap_asks_for_every_load_file() -> None:
    """9.2.1: of any domain, once the one that mandates it is PERSONALIZED."""
    host = Host(VirtualSe.create("embedded").link()).into(ISD, ISD_KEYS)
    digest = load_file_hash(BLOCK)
    host.new_domain(BANK, MANDATED)
    assert load(host, owner=None) == 0x9000  # not personalized yet
    host.delete(ELF)
    host.into(BANK, ISD_KEYS).put_keys(BANK_KEYS).require("PUT KEY")
    assert load(host.into(ISD, ISD_KEYS), owner=None) == 0x6985
    assert load(host, dap("aes-128", digest), digest=digest, owner=None) == 0x6985  # it has no key for it
    put_key(host.into(BANK, BANK_KEYS), DAP_VERSION, signing_key("aes-128", 5))
    host.into(ISD, ISD_KEYS)
    assert load(host, owner=None) == 0x6985
    assert load(host, dap("aes-128", digest), digest=digest, owner=None) == 0x9000
    entry = host.entry(ELF)
    assert entry is not None
    assert entry.associated_sd == ISD


def test_several_dap_blocks_are_all_verified() -> None:
    """11.6.2.3: a load file may contain multiple DAP blocks; each must be right, in any order."""
    host = verifier(MANDATED, kind="p-256")
    domain(host, TRANSIT, DAP, TRANSIT_KEYS)
    put_key(host.into(TRANSIT, TRANSIT_KEYS), DAP_VERSION, signing_key("aes-128", 5))
    host.into(ISD, ISD_KEYS)
    digest = load_file_hash(BLOCK)
    mandated, own = dap("p-256", digest), dap("aes-128", digest, TRANSIT)
    wrong = DapBlock(TRANSIT, bytes(16))
    assert load(host, mandated, digest=digest, owner=TRANSIT) == 0x6985
    assert load(host, own, digest=digest, owner=TRANSIT) == 0x6985
    assert load(host, mandated, wrong, digest=digest, owner=TRANSIT) == 0x6982
    assert load(host, wrong, own, mandated, digest=digest, owner=TRANSIT) == 0x6982
    assert load(host, own, mandated, digest=digest, owner=TRANSIT) == 0x9000
    host.delete(ELF)
    assert load(host, mandated, wrong, digest=digest, owner=None) == 0x6982  # verified though not asked for
    assert load(host, mandated, own, digest=digest, owner=None) == 0x9000


def test_a_dap_of_who_verifies_none_is_refused() -> None:
    """9.3.5: each request must relate to a domain in the registry with the privilege."""
    host = verifier()
    digest = load_file_hash(BLOCK)
    for stranger in (ISD, PPSE, TRANSIT, Aid(LIBRARY)):
        assert load(host, dap("aes-128", digest, stranger), digest=digest, owner=None) == 0x6985
    assert load(host, dap("aes-128", digest), digest=digest, owner=None) == 0x9000


def test_no_load_file_is_extradited_past_a_dap() -> None:
    """9.4.1: forbidden to extradite a load file to a domain with the DAP Verification privilege."""
    host = verifier()
    assert load(host, owner=None) == 0x9000
    assert host.sw(InstallForExtradition(BANK, ELF)) == 0x6985


def test_a_delegated_load_has_a_dap_too() -> None:
    """9.3.5: token and DAPs are verified side by side."""
    card = delegation("p-256")
    issuer = Host(card.se.link()).into(ISD, ISD_KEYS)
    domain(issuer, BANK, MANDATED, BANK_KEYS)
    put_key(issuer.into(BANK, BANK_KEYS), DAP_VERSION, signing_key("aes-128", 5))
    card.tenant()
    digest = hashlib.sha256(BLOCK).digest()
    for daps, sw in (((), 0x6985), ((DapBlock(BANK, bytes(16)),), 0x6982), ((dap("aes-128", digest),), 0x9000)):
        assert card.install(0x02, PACKAGE, b"", digest, b"").sw == 0x9000
        assert [card.host.sw(each) for each in load_blocks(load_file(BLOCK, daps), 230)][-1] == sw
    # A token signed with ECDSA and SHA-256 asks for as strong a hash (table C-3), and for one at all.
    card.delete(PACKAGE)
    assert card.install(0x02, PACKAGE, b"", hashlib.sha1(BLOCK).digest(), b"").sw == 0x6985  # noqa: S324 - on purpose
    assert card.install(0x02, PACKAGE, b"", b"", b"").sw == 0x6985


@pytest.mark.parametrize("kind", ["des", "aes-128", "aes-192", "aes-256"])
@pytest.mark.parametrize("with_vector", [False, True])
def test_ciphered_load_files(kind: str, *, with_vector: bool) -> None:
    """C.6: CBC, padding 80 and zeros, ICV of D3 or zeros; the hash is that of the block in clear."""
    host = verifier(CIPHERED, CIPHER_VERSION, kind)
    key = signing_key(kind, 5)
    assert isinstance(key, MacKey)
    vector = bytes(range(8 if key.des else 16)) if with_vector else b""
    sealed = encipher_block(key, BLOCK, vector)
    assert decipher_block(key, sealed) == BLOCK
    digest = load_file_hash(BLOCK, "sha512")
    assert load(host, digest=digest) == 0x6985  # in clear
    assert load(host, block=sealed) == 0x6985  # without a hash
    assert load(host, block=sealed, digest=digest, owner=None) == 0x6985  # for a domain that has not the privilege
    changed = bytearray(sealed.data)
    changed[40] ^= 1
    assert load(host, block=CipheredBlock(bytes(changed), vector), digest=digest) == 0x6A80
    assert load(host, block=CipheredBlock(sealed.data[:-1], vector), digest=digest) == 0x6A80
    zeros = bytes(8 if key.des else 16)
    # Without D3 the vector is zeros; so a D3 of zeros says the same, and one of anything else does not.
    assert load(host, block=CipheredBlock(sealed.data, zeros), digest=digest) == (0x6A80 if with_vector else 0x9000)
    host.delete(ELF)
    assert load(host, block=CipheredBlock(sealed.data, bytes(24 - len(zeros))), digest=digest) == 0x6A80
    assert load(host, block=sealed, digest=digest) == 0x9000


@pytest.mark.parametrize(("kind", "weak"), [("aes-128", "sha1"), ("aes-192", "sha256"), ("aes-256", "sha384")])
def test_a_hash_weaker_than_the_cipher_is_refused(kind: str, weak: str) -> None:
    """Table C-3."""
    host = verifier(CIPHERED, CIPHER_VERSION, kind)
    key = signing_key(kind, 5)
    assert isinstance(key, MacKey)
    assert load(host, block=encipher_block(key, BLOCK), digest=load_file_hash(BLOCK, weak)) == 0x6985


def test_a_ciphered_load_file_needs_the_domain_s_key() -> None:
    """C.1.3."""
    host = verifier(CIPHERED, CIPHER_VERSION, None)
    sealed = encipher_block(MacKey(bytes(16)), BLOCK)
    assert load(host, block=sealed, digest=load_file_hash(BLOCK, "sha512")) == 0x6985


def test_a_large_ciphered_load_file() -> None:
    """Longer than what is decrypted at a time."""
    host = verifier(CIPHERED, CIPHER_VERSION, "aes-128")
    key = signing_key("aes-128", 5)
    assert isinstance(key, MacKey)
    block = small_cap(padding_bytes=9_000)
    sealed = encipher_block(key, block, bytes(range(16)))
    assert load(host, block=sealed, digest=load_file_hash(block)) == 0x9000


def test_wrong_keys_and_vectors_are_the_caller_s_error() -> None:
    with pytest.raises(ProtocolError, match="vector of 7 bytes"):
        encipher_block(MacKey(bytes(16)), BLOCK, bytes(7))
    with pytest.raises(ProtocolError, match="15 bytes"):
        decipher_block(MacKey(bytes(16)), CipheredBlock(bytes(15)))
    with pytest.raises(ProtocolError, match="no padding"):
        decipher_block(MacKey(bytes(16)), CipheredBlock(bytes(range(16))))
    with pytest.raises(ProtocolError, match="no hash 'md5'"):
        load_file_hash(BLOCK, "md5")
