"""The parameters and results of an SP TSM's own operations: what is kept so that each can be run again after a kill."""

from __future__ import annotations

from opentsm_tsm.sp.personalization import Account
from opentsm_tsm.wire import Hex, Message

__all__ = [
    "AccountData",
    "AccountEntry",
    "AccountInput",
    "AccountListResult",
    "AccountsParams",
    "AccountsResult",
    "CentralParams",
    "DeployParams",
    "DeployedResult",
    "PersonalizeParams",
    "ReadParams",
    "RotateParams",
    "RotatedResult",
]


class CentralParams(Message, frozen=True, kw_only=True):
    """An operation that is the central TSM's alone: its function and the request."""

    function: str
    request: Hex

    def __repr__(self) -> str:
        """Name the function only."""
        return f"CentralParams({self.function})"


class DeployParams(Message, frozen=True, kw_only=True):
    """Pre-personalize a service of the configuration under a qualifier."""

    service: str
    qualifier: str
    conversation_id: str | None = None


class DeployedResult(Message, frozen=True, kw_only=True):
    """The security domain, and the version of the temporary keys it got (None: it holds this SP's own)."""

    sd: Hex
    instance: Hex
    temporary_version: int | None = None


class RotateParams(Message, frozen=True, kw_only=True):
    """Replace the keys of the security domain."""

    conversation_id: str | None = None


class RotatedResult(Message, frozen=True, kw_only=True):
    """The versions of the keys that are gone and of those that took their place."""

    sd: Hex
    old_version: int
    new_version: int
    temporary_keys_destroyed: bool = False


class AccountData(Message, frozen=True, kw_only=True):
    """An account as it is kept (sealed) while its personalization runs."""

    uid: Hex
    pan: str
    expiry: str
    label: str
    track2: Hex = Hex(b"")

    @classmethod
    def of(cls, account: Account) -> AccountData:
        """Return an account as it is kept."""
        return cls(
            uid=Hex(account.uid),
            pan=account.pan,
            expiry=account.expiry,
            label=account.label,
            track2=Hex(account.track2),
        )

    def account(self) -> Account:
        """Return the account."""
        return Account(bytes(self.uid), self.pan, self.expiry, self.label, bytes(self.track2))

    def __repr__(self) -> str:
        """Show the identifier only."""
        return f"AccountData(uid={self.uid.hex()})"


class AccountInput(AccountData, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account as a person writes it: a misspelt member is an error, not lost."""


class PersonalizeParams(Message, frozen=True, kw_only=True):
    """Write accounts under a service qualifier."""

    service: str
    qualifier: str
    accounts: tuple[AccountData, ...]
    conversation_id: str | None = None


class AccountsParams(Message, frozen=True, kw_only=True):
    """Delete accounts of a service qualifier; none named: all of the qualifier."""

    service: str
    qualifier: str
    accounts: tuple[Hex, ...] = ()
    conversation_id: str | None = None


class AccountsResult(Message, frozen=True, kw_only=True):
    """The accounts written or deleted, and on which instance."""

    instance: Hex
    accounts: tuple[Hex, ...] = ()


class ReadParams(Message, frozen=True, kw_only=True):
    """Read which accounts an instance holds."""

    service: str
    conversation_id: str | None = None


class AccountEntry(Message, frozen=True, kw_only=True):
    """One account on an instance: whose, and which."""

    qualifier: str
    uid: Hex


class AccountListResult(Message, frozen=True, kw_only=True):
    """The accounts that an instance holds, as it said under response MAC."""

    instance: Hex
    accounts: tuple[AccountEntry, ...] = ()
