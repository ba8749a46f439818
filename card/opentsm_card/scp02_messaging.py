"""SCP02 secure messaging: C-MACs, encryption and R-MACs, the same on both sides.

Spec: GP Card Specification 2.3.1, E.4.3 to E.4.7.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from opentsm_card.apdu import CommandApdu, cla_on_channel
from opentsm_card.errors import ProtocolError, SecureChannelError
from opentsm_card.keys import des_ecb_encrypt
from opentsm_card.scp02_kdf import Parameter, SessionKeys, cbc_decrypt, cbc_encrypt, pad, retail_mac, single_des

if TYPE_CHECKING:
    from opentsm_card.apdu import ResponseApdu

__all__ = ["MAC_BYTES", "Messaging", "plain_cla"]

MAC_BYTES = 8
_ZERO = bytes(MAC_BYTES)
_MAX_SHORT_DATA = 255


def plain_cla(cla: int) -> int:
    """Return a class byte without secure messaging and logical channel, as MACs cover it."""
    return cla & 0x80


class Messaging:
    """The keys of one session and both chains; not shared between threads.

    Args:
        keys: of the session.
        i: the SCP02 parameter.
        icv: the first C-MAC's ICV, 8 bytes.
        r_icv: the first R-MAC's ICV, 8 bytes; with EXTERNAL AUTHENTICATE its C-MAC, to be set then.
    """

    __slots__ = ("_chained", "_i", "_keys", "c_mac", "r_mac")

    def __init__(self, keys: SessionKeys, i: int, icv: bytes = _ZERO, r_icv: bytes = _ZERO) -> None:
        self._keys = keys
        self._i = Parameter.parse(i)
        self._chained = False
        self.c_mac = icv
        self.r_mac = r_icv

    def restore(self, c_mac: bytes, r_mac: bytes) -> None:
        """Go on behind a C-MAC and an R-MAC that were the last, 8 bytes each."""
        self._chained, self.c_mac, self.r_mac = True, c_mac, r_mac

    def next_c_mac(self, header: bytes, data: bytes) -> bytes:
        """Return the C-MAC of a plain command and make it the last.

        Args:
            header: CLA, INS, P1, P2; the bits of CLA for channel and secure messaging don't matter.
            data: plain, at most 255 bytes less what the MAC needs.
        """
        icv = self.c_mac
        if self._chained and self._i & Parameter.ICV_ENCRYPTION:
            icv = single_des(self._keys.mac, icv)
        if self._i & Parameter.UNMODIFIED_APDU:
            head = bytes((plain_cla(header[0]),)) + header[1:4] + bytes((len(data),))
        else:
            head = bytes((plain_cla(header[0]) | 0x04,)) + header[1:4] + bytes((len(data) + MAC_BYTES,))
        self.c_mac = retail_mac(self._keys.mac, head + data, icv)
        self._chained = True
        return self.c_mac

    def wrap(self, command: CommandApdu, *, encrypt: bool) -> CommandApdu:
        """Add the C-MAC to a command and encrypt its data.

        Raises:
            ProtocolError: it does not fit a short APDU.
        """
        if command.extended or len(command.data) + MAC_BYTES > _MAX_SHORT_DATA:
            raise ProtocolError(f"SCP02 takes short commands alone: {len(command.data)} bytes with a MAC are too many")
        header = bytes((command.cla, command.ins, command.p1, command.p2))
        mac = self.next_c_mac(header, command.data)
        data = command.data
        if encrypt and data:
            data = cbc_encrypt(self._keys.enc, pad(data))
        cla = plain_cla(command.cla) | 0x04
        if command.channel:
            cla = cla_on_channel(cla, command.channel)
        return CommandApdu(cla, command.ins, command.p1, command.p2, data + mac, command.ne)

    def unwrap(self, command: CommandApdu, *, encrypted: bool) -> CommandApdu:
        """Verify a command's C-MAC and decrypt its data.

        Raises:
            SecureChannelError: MAC or padding are wrong.
        """
        data, mac = command.data[:-MAC_BYTES], command.data[-MAC_BYTES:]
        if encrypted and data:
            if len(data) % MAC_BYTES:
                raise SecureChannelError("encrypted data is not made of whole blocks")
            padded = cbc_decrypt(self._keys.enc, data)
            data = padded.rstrip(b"\x00")
            if data[-1:] != b"\x80" or len(padded) - len(data) >= MAC_BYTES:
                raise SecureChannelError("encrypted data has wrong padding")
            data = data[:-1]
        header = bytes((command.cla, command.ins, command.p1, command.p2))
        if not hmac.compare_digest(self.next_c_mac(header, data), mac):
            raise SecureChannelError("command MAC does not verify")
        cla = plain_cla(command.cla)
        if command.channel:
            cla = cla_on_channel(cla, command.channel)
        return CommandApdu(cla, command.ins, command.p1, command.p2, data, command.ne)

    def next_r_mac(self, command: CommandApdu, response: ResponseApdu) -> bytes:
        """Return the R-MAC of a plain response and make it the last.

        Args:
            command: the plain command that it answers; in cases 1 and 2 its Lc counts as 00.
            response: plain; without data for an error.

        Spec: GP Card Specification 2.3.1, E.4.5.
        """
        head = bytes((plain_cla(command.cla), command.ins, command.p1, command.p2, len(command.data)))
        tail = bytes((len(response.data) & 0xFF,)) + response.data + response.sw.to_bytes(2, "big")
        self.r_mac = retail_mac(self._keys.rmac, head + command.data + tail, self.r_mac)
        return self.r_mac

    def encrypt_sensitive(self, data: bytes) -> bytes:
        """Encrypt whole blocks of sensitive data with the session's data encryption key: ECB; CBC in implicit sessions.

        Raises:
            ProtocolError: no multiple of 8 bytes.

        Spec: GP Card Specification 2.3.1, E.4.7.
        """
        if not data or len(data) % MAC_BYTES:
            raise ProtocolError(f"SCP02 encrypts sensitive data in blocks of 8 bytes, not {len(data)}")
        if not self._i & Parameter.EXPLICIT:
            return cbc_encrypt(self._keys.dek, data)
        return des_ecb_encrypt(self._keys.dek, data)
