"""The OpenPGP application as its users see it: names, first passwords."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from opentsm_card.aid import Aid

__all__ = ["AID", "CAP", "MODULE", "P256_OID", "PW1", "PW3"]

CAP: Final = Path(__file__).parents[2] / "simulator" / "opentsm_simulator" / "caps" / "openpgp.cap"
MODULE: Final = Aid.from_text("F06F70656E74736D010801")
# Version 3.4, a test card's manufacturer, serial number 2026.
AID: Final = "D2760001240103040000000020260000"
PW1: Final = "123456"
PW3: Final = "12345678"
P256_OID: Final = bytes.fromhex("2A8648CE3D030107")
