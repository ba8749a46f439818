"""Who takes part in the demo: networks, devices with their SEs, service providers and their customers' accounts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

from opentsm_tsm.sp import Account

__all__ = ["BANK", "CENTRAL_SD", "DEVICES", "ISSUER_SD", "MNOS", "PPSE", "PROVIDERS", "TRANSIT", "Device", "Provider"]

_PREFIX: Final = b"\xf0opentsm"
ISSUER_SD: Final = bytes.fromhex("A000000151000000")
CENTRAL_SD: Final = _PREFIX + bytes.fromhex("0001")
PPSE: Final = b"2PAY.SYS.DDF01"

MNOS: Final = ("north", "south")
KEY_VERSION: Final = 48


@dataclass(frozen=True, slots=True)
class Device:
    """A device with one SE.

    Args:
        name: of the device.
        se: identifier of its SE.
        se_type: eSE or uicc.
        profile: of the virtual SE: embedded (fig. 5) or uicc (fig. 6).
        mno: the network it is attached to.
        msisdn: its subscriber's number.
        customer: the service qualifier of its owner.
    """

    name: str
    se: str
    se_type: Literal["eSE", "uicc"]
    profile: Literal["embedded", "uicc"]
    mno: str
    msisdn: str
    customer: str

    @property
    def diversification_data(self) -> bytes:
        """What the virtual SE answers first to INITIALIZE UPDATE, 10 bytes."""
        return hashlib.sha256(self.se.encode()).digest()[:10]

    @property
    def central_sd(self) -> bytes:
        """The AID of the central TSM's security domain on its SE."""
        return ISSUER_SD if self.profile == "embedded" else CENTRAL_SD


DEVICES: Final = (
    Device("phone-1", "ese-north-1", "eSE", "embedded", "north", "+491700000001", "customer-1"),
    Device("phone-2", "ese-south-2", "eSE", "embedded", "south", "+491710000002", "customer-2"),
    Device("phone-3", "uicc-south-3", "uicc", "uicc", "south", "+491710000003", "customer-3"),
)


@dataclass(frozen=True, slots=True)
class Provider:
    """A service provider with one service.

    Args:
        name: of the provider.
        number: 2 bytes in the AIDs of its security domain and instances.
        service: the service's name.
        label: what the PPSE lists.
        priority: the order in the PPSE.
        pan_prefix: what its account numbers begin with, 8 digits.
    """

    name: str
    number: bytes
    service: str
    label: str
    priority: int
    pan_prefix: str

    @property
    def sd(self) -> bytes:
        """AID of its security domain."""
        return _PREFIX + b"\x0a" + self.number

    @property
    def instance(self) -> bytes:
        """AID of its application instance."""
        return _PREFIX + b"\x0b" + self.number + b"\x01"

    def accounts(self, customer: str, count: int) -> tuple[Account, ...]:
        """Return a customer's accounts: made up, but the same in every run."""
        made = []
        for index in range(count):
            uid = hashlib.sha256(f"{self.name} {customer} {index}".encode()).digest()[:16]
            digits = f"{int.from_bytes(uid[:4], 'big') % 10**8:08d}"
            made.append(Account(uid, self.pan_prefix + digits, f"30{index + 1:02d}28", self.label))
        return tuple(made)


BANK: Final = Provider("bank", b"\x00\x01", "payment", "Bank", 1, "41111100")
TRANSIT: Final = Provider("transit", b"\x00\x02", "ticket", "Transit", 2, "63000200")
PROVIDERS: Final = (BANK, TRANSIT)
