"""A device key that never leaves its token or TPM: named by a URI, used by the OpenSSL that Python's own TLS runs on.

    key = "pkcs11:token=device;object=agent?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/pin"
    key = "handle:0x81000001"

A `pkcs11:` URI (RFC 7512) needs OpenSSL's pkcs11 provider (Debian: pkcs11-provider), or its engine, where there is none
(libengine-pkcs11-openssl); `handle:`, a TPM's persistent key, needs the tpm2 provider (tpm2-openssl).

Python's ssl reads keys from files only, and has no way to be given one. What is asked of OpenSSL here is its documented
C interface; that a context's first member is OpenSSL's own has been so in every CPython since 3.0, and is checked.

Spec: RFC 7512; OSSL_STORE_open(3), ENGINE_load_private_key(3), SSL_CTX_use_PrivateKey(3), EVP_DigestSign(3).
"""

from __future__ import annotations

import _ssl
import ctypes
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlencode

from opentsm_card.errors import ProtocolError

if TYPE_CHECKING:
    import ssl

__all__ = ["HardwareKey"]

_PROVIDERS: Final = {"pkcs11": "pkcs11", "handle": "tpm2"}
_PACKAGES: Final = {"pkcs11": "pkcs11-provider or libengine-pkcs11-openssl", "handle": "tpm2-openssl"}
_STORE_INFO_PKEY: Final = 4
_MOST_OBJECTS: Final = 64
_SIGNATURE_BYTES: Final = 1024
_EVP_PKEY_EC: Final = 408
_RETURN_POINTERS: Final = (
    "OSSL_LIB_CTX_new",
    "OSSL_PROVIDER_load",
    "OSSL_STORE_open_ex",
    "OSSL_STORE_load",
    "OSSL_STORE_INFO_get1_PKEY",
    "ENGINE_by_id",
    "ENGINE_load_private_key",
    "EVP_MD_CTX_new",
    "EVP_PKEY_CTX_new_from_pkey",
    "EVP_PKEY_new",
    "EVP_sha256",
    "EC_KEY_METHOD_new",
    "EC_KEY_OpenSSL",
    "d2i_EC_PUBKEY",
)
# A context's key calls back what belongs to it; contexts are few, and end with the process.
_used: Final[list[HardwareKey]] = []
# EC_KEY_METHOD_set_sign(3): type, digest and its length, signature and its length, k inverted, r, the key.
_SIGN: Final = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_uint),
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
)


def _shown(uri: str) -> str:
    """Return a URI without its query, where a PIN can be."""
    return uri.partition("?")[0]


@functools.cache
def _openssl() -> Any:  # noqa: ANN401 - C functions have no Python types
    """Return the OpenSSL of Python's ssl module.

    Raises:
        ProtocolError: it is built into Python, and can't be reached.
    """
    try:
        library = ctypes.CDLL(_ssl.__file__)
        for name in _RETURN_POINTERS:
            getattr(library, name).restype = ctypes.c_void_p
        library.ERR_get_error.restype = ctypes.c_ulong
    except (AttributeError, OSError) as error:
        raise ProtocolError("keys by URI: this Python has its OpenSSL built in; use the system's Python") from error
    return library


def _reason() -> str:
    """Return OpenSSL's last reasons, without what could hold a URI, and clear them."""
    library = _openssl()
    reasons = []
    while code := library.ERR_get_error():
        text = ctypes.create_string_buffer(256)
        library.ERR_error_string_n(ctypes.c_ulong(code), text, len(text))
        reasons.append(text.value.decode(errors="replace").rpartition(":")[2])
    return ", ".join(dict.fromkeys(filter(None, reasons))) or "no reason given"


class HardwareKey:
    """A private key in a token or TPM, on P-256.

    Args:
        uri: `pkcs11:…` or `handle:0x…`.

    Raises:
        ProtocolError: there is no such key, it can't be used, or OpenSSL lacks what it takes; the message holds no PIN.
    """

    def __init__(self, uri: str) -> None:
        self.name = _shown(uri)
        scheme = uri.partition(":")[0]
        if scheme not in _PROVIDERS:
            raise ProtocolError(f"key {self.name}: want pkcs11:… or handle:0x…")
        library = _openssl()
        library.ERR_clear_error()
        path, query = uri.partition("?")[0], dict(parse_qsl(uri.partition("?")[2]))
        pin = _pin(query, self.name)
        key, self._beside = _from_provider(scheme, path, query, pin)
        if key is None and scheme == "pkcs11":
            key = _from_engine(path, query, pin)
        if not key:
            why = _reason()
            raise ProtocolError(f"key {self.name}: {why} (is {_PACKAGES[scheme]} installed, is the key there?)")
        self._key = ctypes.c_void_p(key)

    def __repr__(self) -> str:
        """Name the key."""
        return f"HardwareKey({self.name})"

    def public_der(self) -> bytes:
        """Return the public key as a SubjectPublicKeyInfo, DER.

        Raises:
            ProtocolError: the token does not give it.
        """
        library = _openssl()
        out = ctypes.POINTER(ctypes.c_ubyte)()
        size = library.i2d_PUBKEY(self._key, ctypes.byref(out))
        if size <= 0:
            raise ProtocolError(f"key {self.name}: no public key: {_reason()}")
        return bytes(out[:size])

    def sign(self, data: bytes) -> bytes:
        """Return the ECDSA signature of data with SHA-256, DER.

        Raises:
            ProtocolError: the token does not sign.
        """
        library = _openssl()
        context = ctypes.c_void_p(library.EVP_MD_CTX_new())
        try:
            sha256 = ctypes.c_void_p(library.EVP_sha256())
            signature = (ctypes.c_ubyte * _SIGNATURE_BYTES)()
            size = ctypes.c_size_t(len(signature))
            if (
                library.EVP_DigestSignInit(context, None, sha256, None, self._key) != 1
                or library.EVP_DigestSign(context, signature, ctypes.byref(size), data, ctypes.c_size_t(len(data))) != 1
            ):
                raise ProtocolError(f"key {self.name}: can't sign: {_reason()}")
            return bytes(signature[: size.value])
        finally:
            library.EVP_MD_CTX_free(context)

    def use_in(self, context: ssl.SSLContext, certificate: Path) -> None:
        """Have a TLS context show a certificate and sign with this key.

        Args:
            context: of a client.
            certificate: PEM file.

        Raises:
            ProtocolError: the certificate is another key's, or no certificate.
        """
        library = _openssl()
        inside = _ssl_ctx(context)
        library.ERR_clear_error()
        if library.SSL_CTX_use_certificate_chain_file(inside, str(certificate).encode()) != 1:
            raise ProtocolError(f"certificate {certificate}: not PEM, or damaged ({_reason()})")
        if library.SSL_CTX_use_PrivateKey(inside, self._key) != 1 or library.SSL_CTX_check_private_key(inside) != 1:
            raise ProtocolError(f"certificate {certificate} with key {self.name}: {_reason()}")
        _used.append(self)


def _ssl_ctx(context: ssl.SSLContext) -> ctypes.c_void_p:
    """Return OpenSSL's context inside of Python's: its first member behind the object's head.

    Raises:
        ProtocolError: it is not there.
    """
    inside = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)
    # What OpenSSL says of the pointer's own options must be what Python says of the context's.
    library = _openssl()
    library.SSL_CTX_get_options.restype = ctypes.c_uint64
    if not inside.value or library.SSL_CTX_get_options(inside) != int(context.options) & 0xFFFFFFFFFFFFFFFF:
        raise ProtocolError("keys by URI: this Python's TLS contexts are made another way")
    return inside


def _pin(query: dict[str, str], name: str) -> str | None:
    """Return the PIN of a URI, given there or in a file that it names (RFC 7512 clause 2.4)."""
    source = query.pop("pin-source", None)
    if source is None:
        return query.pop("pin-value", None)
    try:
        return Path(unquote(source.removeprefix("file:"))).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ProtocolError(f"key {name}: its pin-source can't be read") from error


def _from_provider(scheme: str, path: str, query: dict[str, str], pin: str | None) -> tuple[int | None, object]:
    """Load a key by OpenSSL's provider for the scheme; no key without one. What comes with it must live as long.

    The provider lives in a library context of its own, and the key that TLS gets is one whose signing is done there. In
    one context, OpenSSL 3.0 would look for the private part in its default provider, or have a TPM do all of TLS.
    """
    library = _openssl()
    context = ctypes.c_void_p(library.OSSL_LIB_CTX_new())
    library.OSSL_PROVIDER_load(context, b"default")
    if not library.OSSL_PROVIDER_load(context, _PROVIDERS[scheme].encode()):
        return None, None
    whole = query if pin is None else {**query, "pin-value": pin}
    uri = path + (f"?{urlencode(whole)}" if whole else "")
    store = library.OSSL_STORE_open_ex(uri.encode(), context, None, None, None, None, None, None)
    key = _first_key(ctypes.c_void_p(store)) if store else None
    if not key:
        return None, None
    return _foreign_key(context, ctypes.c_void_p(key), f"?provider={_PROVIDERS[scheme]}".encode())


def _first_key(store: ctypes.c_void_p) -> int | None:
    library = _openssl()
    key: int | None = None
    for _ in range(_MOST_OBJECTS):
        if key or library.OSSL_STORE_eof(store):
            break
        info = library.OSSL_STORE_load(store)
        if not info:
            continue
        if library.OSSL_STORE_INFO_get_type(ctypes.c_void_p(info)) == _STORE_INFO_PKEY:
            key = library.OSSL_STORE_INFO_get1_PKEY(ctypes.c_void_p(info))
        library.OSSL_STORE_INFO_free(ctypes.c_void_p(info))
    library.OSSL_STORE_close(store)
    return key


def _foreign_key(context: ctypes.c_void_p, key: ctypes.c_void_p, preference: bytes) -> tuple[int | None, object]:
    """Return a key with the public part of another, whose signatures the other makes in its own library context."""
    library = _openssl()

    def sign(
        _kind: int,
        digest: int,
        size: int,
        signature: int,
        length: Any,  # noqa: ANN401 - a pointer has no type that can be written
        _inverse: int,
        _r: int,
        _key: int,
    ) -> int:
        work = ctypes.c_void_p(library.EVP_PKEY_CTX_new_from_pkey(context, key, preference))
        try:
            written = ctypes.c_size_t(_SIGNATURE_BYTES)
            out = (ctypes.c_ubyte * _SIGNATURE_BYTES)()
            done = (
                library.EVP_PKEY_sign_init(work) == 1
                and library.EVP_PKEY_CTX_set_signature_md(work, ctypes.c_void_p(library.EVP_sha256())) == 1
                and library.EVP_PKEY_sign(
                    work, out, ctypes.byref(written), ctypes.c_void_p(digest), ctypes.c_size_t(size)
                )
                == 1
            )
            if done:
                ctypes.memmove(signature, out, written.value)
                length[0] = written.value
            return int(done)
        finally:
            library.EVP_PKEY_CTX_free(work)

    out = ctypes.POINTER(ctypes.c_ubyte)()
    size = library.i2d_PUBKEY(key, ctypes.byref(out))
    public = library.d2i_EC_PUBKEY(None, ctypes.byref(out), ctypes.c_long(size)) if size > 0 else None
    if not public:
        return None, None
    method = ctypes.c_void_p(library.EC_KEY_METHOD_new(ctypes.c_void_p(library.EC_KEY_OpenSSL())))
    before = [ctypes.c_void_p() for _ in range(3)]
    library.EC_KEY_METHOD_get_sign(method, *map(ctypes.byref, before))
    callback = _SIGN(sign)
    library.EC_KEY_METHOD_set_sign(method, callback, *before[1:])
    library.EC_KEY_set_method(ctypes.c_void_p(public), method)
    made = library.EVP_PKEY_new()
    library.EVP_PKEY_assign(ctypes.c_void_p(made), _EVP_PKEY_EC, ctypes.c_void_p(public))
    return made, (callback, context, key, method)


def _from_engine(path: str, query: dict[str, str], pin: str | None) -> int | None:
    """Load a key by OpenSSL's pkcs11 engine; None without one."""
    library = _openssl()
    engine = library.ENGINE_by_id(b"pkcs11")
    if not engine:
        return None
    engine = ctypes.c_void_p(engine)
    module = query.get("module-path")
    if module is not None:
        library.ENGINE_ctrl_cmd_string(engine, b"MODULE_PATH", module.encode(), 0)
    if pin is not None:
        library.ENGINE_ctrl_cmd_string(engine, b"PIN", pin.encode(), 0)
    if library.ENGINE_init(engine) != 1:
        return None
    key: int | None = library.ENGINE_load_private_key(engine, path.encode(), None, None)
    return key
