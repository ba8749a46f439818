"""The time on a device: from its clock, or, where that starts wrong, from the enrolled TSM.

With `[clock]` in the configuration the system's clock is not looked at: the time is the floor on disk, which is the
latest time that the TSM told in an answer (HTTP's Date, over a connection that the pinned CA vouches for), and moves on
from there by the monotonic clock, never back.

A certificate that is over is refused always; one that is not good yet, only once the time is known: the floor alone can
be older than a certificate that was renewed meanwhile.

Spec: RFC 9110 clause 6.6.1 (Date); RFC 5280 clause 4.1.2.5 (validity).
"""

from __future__ import annotations

import base64
import calendar
import os
import re
import threading
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from opentsm_card import tlv
from opentsm_card.errors import ProtocolError, TransportError

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

__all__ = ["DeviceClock", "UntimelyCertificateError", "certificate_from_pem", "validity", "without_time"]

_STORE_EVERY_S: Final = 600.0
_SEQUENCE: Final = 0x30
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_VERSION: Final = 0xA0
_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
# A TSM whose clock is off by less is right.
_TOLERANCE_S: Final = 300.0


class UntimelyCertificateError(TransportError):
    """A peer's certificate is over, or not good yet."""


def certificate_from_pem(pem: bytes, what: str) -> bytes:
    """Return the DER of the first certificate of a PEM.

    Raises:
        ProtocolError: there is none.
    """
    found = _PEM.search(pem.decode("ascii", "replace"))
    try:
        der = base64.b64decode("".join(found[1].split()), validate=True) if found is not None else b""
    except ValueError:
        der = b""
    if not der:
        raise ProtocolError(f"{what}: no certificate in PEM")
    return der


def validity(der: bytes) -> tuple[float, float]:
    """Return from when and until when a certificate is good, in seconds since 1970 (UTC).

    Spec: RFC 5280 clauses 4.1 and 4.1.2.5.

    Raises:
        ProtocolError: it is no certificate.
    """
    fields = tlv.parse_one(der).children()
    members = fields[0].children() if fields else ()
    if members and members[0].tag == _VERSION:
        members = members[1:]
    # serial number, signature, issuer, validity
    times = members[3].children() if len(members) > 3 and members[3].tag == _SEQUENCE else ()
    if len(times) != 2:
        raise ProtocolError("not an X.509 certificate: it has no validity")
    return _time(times[0]), _time(times[1])


def _time(field: tlv.Tlv) -> float:
    forms = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}
    try:
        parsed = time.strptime(field.value.decode("ascii"), forms[field.tag])
    except (KeyError, ValueError) as error:
        raise ProtocolError("not an X.509 certificate: a time is none") from error
    year = parsed.tm_year
    if field.tag == _UTC_TIME:
        year = 2000 + year % 100 if year % 100 < 50 else 1900 + year % 100
    return float(calendar.timegm((year, *parsed[1:])))


class DeviceClock:
    """The time of a device whose own clock starts wrong.

    Args:
        floor: a file that keeps the latest time known; it need not be there yet.

    Raises:
        ProtocolError: the file is there, and holds no time.
    """

    def __init__(self, floor: Path) -> None:
        self._path = floor
        self._lock = threading.Lock()
        self._floor = self._read()
        self._at = time.monotonic()
        self._stored = self._floor
        self._known = False

    @property
    def known(self) -> bool:
        """True when the TSM told the time since the start."""
        return self._known

    def now(self) -> float:
        """Return the time, in seconds since 1970 (UTC)."""
        with self._lock:
            return self._now()

    def learn(self, date: str | None) -> None:
        """Take the time from an answer of the enrolled TSM: the value of its Date header."""
        if date is None:
            return
        try:
            told = parsedate_to_datetime(date).timestamp()
        except (TypeError, ValueError, OverflowError):
            return
        with self._lock:
            # Never back: what was good enough to refuse a certificate stays so.
            if not self._known or told > self._now():
                self._floor, self._at = max(told, self._now()), time.monotonic()
            self._known = True
            if self._floor - self._stored >= _STORE_EVERY_S:
                self._store()

    def check(self, der: bytes, what: str) -> None:
        """See that a certificate is good now.

        Raises:
            UntimelyCertificateError: it is over; or not good yet, where the time is known.
            ProtocolError: it is no certificate.
        """
        begin, end = validity(der)
        now = self.now()
        if now > end:
            raise UntimelyCertificateError(
                f"{what}: the certificate ended at {_shown(end)}, and now it is {_shown(now)}"
            )
        if self._known and now + _TOLERANCE_S < begin:
            raise UntimelyCertificateError(
                f"{what}: the certificate begins at {_shown(begin)}, and now it is {_shown(now)}"
            )

    def _now(self) -> float:
        return self._floor + time.monotonic() - self._at

    def _read(self) -> float:
        try:
            text = self._path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return 0.0
        except (OSError, UnicodeDecodeError) as error:
            raise ProtocolError(f"{self._path}: not a file with a time") from error
        if not re.fullmatch(r"[0-9]{1,12}", text):
            raise ProtocolError(f"{self._path}: want a time in seconds since 1970; to begin anew, delete it")
        return float(text)

    def _store(self) -> None:
        new = self._path.with_name(self._path.name + ".new")
        try:
            with new.open("w", encoding="ascii") as file:
                file.write(f"{int(self._floor)}\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError:
            return  # the next answer tries again; the time in memory holds
        self._stored = self._floor


def without_time(context: ssl.SSLContext) -> ssl.SSLContext:
    """Have a TLS context leave times to a `DeviceClock`."""
    # X509_V_FLAG_NO_CHECK_TIME of OpenSSL's x509_vfy.h, which Python's ssl has no name for.
    context.verify_flags |= 0x200000
    return context


def _shown(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
