"""The errors of opentsm: one tree, so that a caller can catch as much or as little as it means to.

The `opentsm` command maps them to exit codes: `CardError`, `SecureChannelError` and `ScriptError` 1 (refused),
`TransportError` 3 (link or network), `ProtocolError` and `StorageError` 4 (bad input).
"""

from __future__ import annotations

__all__ = [
    "CardError",
    "CardRemovedError",
    "LinkTimeoutError",
    "OpenTsmError",
    "ProtocolError",
    "ScriptError",
    "SecureChannelError",
    "StorageError",
    "TransportError",
]


class OpenTsmError(Exception):
    """Base of all errors that opentsm raises on purpose."""


class TransportError(OpenTsmError):
    """A link or a network failed; whether the peer acted is unknown unless a subclass says so."""


class CardRemovedError(TransportError):
    """The card or its reader is gone."""


class LinkTimeoutError(TransportError):
    """The peer did not answer in time."""


class ProtocolError(OpenTsmError):
    """Bytes or a document break the format they claim; the message names the place."""


class StorageError(OpenTsmError):
    """A file in which state is kept can't be opened or written: its path, its rights, a full disk, another process."""


class CardError(OpenTsmError):
    """The card refused a command.

    Args:
        sw: the status word, 0..0xFFFF.
        command: what was asked, for people (never command data).
    """

    def __init__(self, sw: int, command: str) -> None:
        self.sw = sw
        self.command = command
        super().__init__(f"{command}: card answered {sw:04X}")


class SecureChannelError(OpenTsmError):
    """A cryptogram or MAC did not verify, or a session is not in the state the call needs."""


class ScriptError(OpenTsmError):
    """A script can't run as it stands.

    Args:
        position: index of the offending C-APDU, from 0.
        reason: what is wrong with it.
    """

    def __init__(self, position: int, reason: str) -> None:
        self.position = position
        super().__init__(f"C-APDU {position}: {reason}")
