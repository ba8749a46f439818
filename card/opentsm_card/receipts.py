"""Receipts of delegated management: what a card says it has done, signed.

A card answers each delegated operation with a confirmation: receipt, confirmation data. The receipt signs the
confirmation data and the AIDs that the operation was about.

Spec: GP Card Specification 2.3.1, 11.1.6 (tables 11-13, 11-14), C.5 (tables C-11 to C-16).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from opentsm_card.errors import SecureChannelError
from opentsm_card.reader import Reader, encode_lv
from opentsm_card.signatures import verify

if TYPE_CHECKING:
    from opentsm_card.aid import Aid
    from opentsm_card.privileges import Privilege
    from opentsm_card.signatures import VerificationKey

__all__ = ["Confirmation", "Operation"]

_COUNTER_BYTES: Final = 2


@dataclass(frozen=True, slots=True)
class Operation:
    """What a receipt is for.

    Args:
        data: the fields that it signs behind the confirmation data; the class methods make them.
    """

    data: bytes

    @classmethod
    def _of(cls, *values: bytes) -> Self:
        return cls(b"".join(encode_lv(value) for value in values))

    @classmethod
    def load(cls, load_file: Aid, security_domain: Aid) -> Self:
        """Load a load file for a security domain (table C-11)."""
        return cls._of(load_file, security_domain)

    @classmethod
    def install(cls, load_file: Aid, application: Aid) -> Self:
        """Install an application of a load file, or make it selectable, or both (table C-12)."""
        return cls._of(load_file, application)

    @classmethod
    def load_and_install(cls, load_file: Aid, application: Aid, security_domain: Aid) -> Self:
        """End a combined load, install and make selectable process (table C-16)."""
        return cls._of(load_file, application, security_domain)

    @classmethod
    def extradite(cls, aid: Aid, old: Aid, new: Aid) -> Self:
        """Extradite an application or load file from one security domain to another (table C-13)."""
        return cls._of(old, aid, new)

    @classmethod
    def update(
        cls,
        application: Aid | None,
        *,
        old: Aid | None = None,
        new: Aid | None = None,
        privileges: Privilege | None = None,
        parameters: bytes = b"",
    ) -> Self:
        """Update the registry (table C-14).

        Args:
            application: whose entry; None when functions of the whole card were restricted.
            old: the security domain it belonged to, when it was extradited too.
            new: the security domain it belongs to now.
            privileges: as in the command; None when it had none.
            parameters: as in the command.
        """
        granted = b"" if privileges is None else privileges.encode()
        return cls._of(old or b"", application or b"", new or b"", granted, parameters)

    @classmethod
    def delete(cls, aid: Aid) -> Self:
        """Delete an application, or a load file, with its applications or without (table C-15)."""
        return cls._of(aid)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A card's confirmation of one operation.

    Args:
        receipt: the signature.
        counter: the card's confirmation counter, 0..32767: it goes up by one with each receipt.
        unique_data: 42 and 45 of the security domain that gave the receipt, one behind the other.
        token_number: identifier (93) of the token that allowed the operation; empty when it had none.
        token_digest: digest of the token's data; empty when the card's policy gives none.
        data: the confirmation data as they came, which the receipt signs.
    """

    receipt: bytes
    counter: int
    unique_data: bytes
    token_number: bytes
    token_digest: bytes
    data: bytes

    @classmethod
    def parse(cls, answer: bytes) -> Self | None:
        """Parse the data that answer INSTALL, LOAD or DELETE; None when there is no confirmation (a byte 00).

        Raises:
            ProtocolError: malformed.
        """
        outer = Reader(answer, "confirmation")
        content = outer.lv()
        outer.end()
        if not content:
            return None
        reader = Reader(content, "confirmation")
        receipt = reader.lv()
        begin = reader.offset
        counter = reader.lv()
        if len(counter) != _COUNTER_BYTES:
            raise reader.fail(f"a confirmation counter of {len(counter)} bytes")
        unique_data = reader.lv()
        number = reader.lv() if reader.remaining else b""
        digest = reader.lv() if reader.remaining else b""
        reader.end()
        return cls(receipt, int.from_bytes(counter, "big"), unique_data, number, digest, content[begin:])

    def check(
        self,
        key: VerificationKey,
        operation: Operation,
        *,
        unique_data: bytes | None = None,
        after: int | None = None,
        token_number: bytes | None = None,
    ) -> None:
        """Verify the receipt, and what the confirmation says where the caller knows it.

        Args:
            key: the receipt key of the security domain that gave it.
            operation: what was asked of the card.
            unique_data: 42 and 45 of that security domain; None to take any.
            after: the counter of the last receipt from this card; None when none is known.
            token_number: of the token that was used; None to take any.

        Raises:
            SecureChannelError: the receipt does not verify, is another card's, another token's, or an old one.
        """
        verify(key, self.data + operation.data, self.receipt, "receipt")
        if unique_data is not None and unique_data != self.unique_data:
            raise SecureChannelError(f"receipt of another security domain: {self.unique_data.hex().upper()}")
        if after is not None and self.counter <= after:
            raise SecureChannelError(f"receipt {self.counter} is not newer than receipt {after}")
        if token_number is not None and token_number != self.token_number:
            raise SecureChannelError(f"receipt for another token: {self.token_number.hex().upper()}")
