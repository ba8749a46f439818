"""The errors of opentsm: one tree, so that a caller can catch as much or as little as it means to.

The `opentsm` command maps them to exit codes: `CardError`, `SecureChannelError` and `ScriptError` 1 (refused),
`TransportError` 3 (link or network), `ProtocolError`, `CapError` and `StorageError` 4 (bad input).
"""

from __future__ import annotations

__all__ = [
    "CapError",
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


class CapError(OpenTsmError):
    """A CAP, export or class file, or a source it came from, breaks a rule; the message names the place.

    Args:
        reason: the rule that is broken, and what to do where that is not plain.
        component: the component's name, such as "Method", or the file's.
        offset_bytes: where in the component's info item (behind tag and size), or in the file.
        where: class and method, or a source file and line, as people write them.
        pc: offset of the instruction in the method's bytecodes.
    """

    def __init__(
        self,
        reason: str,
        *,
        component: str | None = None,
        offset_bytes: int | None = None,
        where: str | None = None,
        pc: int | None = None,
    ) -> None:
        self.reason = reason
        self.component = component
        self.offset_bytes = offset_bytes
        self.where = where
        self.pc = pc
        place = [
            None if component is None else f"{component} component" if component.isalpha() else component,
            None if offset_bytes is None else f"offset {offset_bytes:#06x}",
            where,
            None if pc is None else f"pc {pc}",
        ]
        prefix = ", ".join(part for part in place if part)
        super().__init__(f"{prefix}: {reason}" if prefix else reason)


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
