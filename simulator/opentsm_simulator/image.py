"""Card images: all that a virtual SE keeps without power, as bytes that another machine can run.

An image holds the profile itself (not its name alone), the SE's identity, the state in which the card was delivered,
and its present state. A state is what the card runtime writes (`CardImage.java`): the OPEN's registry, the load files
as they were loaded, and every object on the card with what is in it; keys and PINs are among that, so an image is as
secret as they are. There is no class file and no serialized Java object in it: an image can't bring code but as CAP
files, which are translated anew and verified by the JVM. What ends with the power (sessions, transient arrays, a load
or a transaction that was under way) is not in it.

Layout, numbers big-endian::

    8   magic "OTSMCARD"
    2   version of the layout
    4   length of the header, then the header: JSON with `id` and `profile`
    4   length of the state as delivered, then that state
    4   length of the present state, then that state
    32  SHA-256 of everything before

The digest tells damage, not who wrote it. A file is replaced as a whole (`ImageFile`): a new one is written beside it
and renamed to it, so that at every moment there is one that is whole. It is written when a command, or a reset, has
changed anything, before the answer leaves. So a killed process loses nothing that a host was told of; the command that
was not answered is in it wholly or not at all. A command that changes nothing costs only that its writes are watched.
Against power loss of the machine itself, files can be synchronized to the disk as well (`synced`): slower by far.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Final, Self

import msgspec

from opentsm_card.errors import ProtocolError, StorageError
from opentsm_simulator.profile import Profile  # noqa: TC001 - a field of a structure

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["VERSION", "CardImage", "ImageFile", "parsed", "read_image", "write_image"]

VERSION: Final = 1
"""Version of the layout that this release writes and reads."""

_MAGIC: Final = b"OTSMCARD"
_DIGEST_BYTES: Final = 32
_MOST_BYTES: Final = 1 << 28

_log: Final = logging.getLogger("opentsm.simulator")


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: Annotated[str, msgspec.Meta(min_length=1)]
    profile: Profile


def _block(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


@dataclass(frozen=True, slots=True)
class CardImage:
    """A card as it is without power.

    Args:
        se_id: the SE's identity.
        profile: what it was made as.
        delivered: its state as delivered.
        state: its present state.
    """

    se_id: str
    profile: Profile = field(repr=False)
    delivered: bytes = field(repr=False)
    state: bytes = field(repr=False)

    def head(self) -> bytes:
        """Return what comes before the present state: it stays the same while the card lives."""
        header = msgspec.json.encode(_Header(self.se_id, self.profile))
        return _MAGIC + VERSION.to_bytes(2, "big") + _block(header) + _block(self.delivered)

    def encode(self) -> bytes:
        """Return the image as bytes; they hold keys."""
        body = self.head() + _block(self.state)
        return body + hashlib.sha256(body).digest()

    @classmethod
    def parse(cls, image: bytes) -> Self:
        """Parse an image; what is in its states is looked at when a card is made of them.

        Raises:
            ProtocolError: it is none, is damaged, or is of another version; the message says which.
        """
        if image[: len(_MAGIC)] != _MAGIC:
            raise ProtocolError("this is no card image")
        version = int.from_bytes(image[8:10], "big")
        if len(image) > len(_MAGIC) + 1 and version != VERSION:
            raise ProtocolError(
                f"this card image is of version {version}, and this release of opentsm reads version {VERSION}: "
                "use the release that wrote it, or make the card anew"
            )
        if hashlib.sha256(image[:-_DIGEST_BYTES]).digest() != image[-_DIGEST_BYTES:]:
            raise ProtocolError("this card image is damaged: its digest is not that of its content")
        at, parts = 10, []
        end = len(image) - _DIGEST_BYTES
        for _ in range(3):
            length = int.from_bytes(image[at : at + 4], "big")
            if at + 4 + length > end:
                raise ProtocolError("this card image ends too early")
            parts.append(image[at + 4 : at + 4 + length])
            at += 4 + length
        if at != end:
            raise ProtocolError("something follows the end of this card image")
        try:
            header = msgspec.json.decode(parts[0], type=_Header)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProtocolError(f"the header of this card image is not valid: {error}") from error
        return cls(header.id, header.profile, parts[1], parts[2])


@functools.lru_cache(maxsize=8)
def parsed(image: bytes) -> CardImage:
    """Parse an image that is likely to come again, as in a sweep that goes back to one state over and over.

    Raises:
        ProtocolError: as `CardImage.parse`.
    """
    return CardImage.parse(image)


def read_image(path: Path) -> bytes:
    """Read a file that a card image is in.

    Raises:
        StorageError: it can't be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


def write_image(path: Path, image: bytes) -> None:
    """Write a card image to a new file, which its owner alone can read.

    Raises:
        StorageError: it is there already, or can't be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor
            file.write(image)
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


class ImageFile:
    """A card image on the disk, of a card that runs: nobody else can run it meanwhile.

    The file is readable by its owner only. Its lock is the file's own (`flock`), and goes with the process.

    Args:
        path: the file; it is there.
        synced: whether each write waits for the disk, so that power loss of the machine loses nothing either.

    Raises:
        StorageError: it can't be read, or another process runs it.
        ProtocolError: it is no image.
    """

    def __init__(self, path: Path, *, synced: bool = False) -> None:
        self.path = path.resolve()
        self._synced = synced
        self._file = self._lock()
        try:
            with open(os.dup(self._file), "rb") as file:  # noqa: PTH123 - of a descriptor
                content = file.read(_MOST_BYTES)
            self.image = CardImage.parse(content)
        except ProtocolError as error:
            self.close()
            raise ProtocolError(f"{path}: {error}") from error
        except OSError as error:
            self.close()
            raise StorageError(f"{path}: {error.strerror}") from error
        self.change(self.image)

    def _lock(self) -> int:
        while True:
            try:
                descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise StorageError(f"{self.path}: {error.strerror}") from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Who wrote it last has put a new file in its place: the lock must be that one's.
                if os.path.samestat(os.fstat(descriptor), os.stat(self.path)):  # noqa: PTH116 - beside fstat
                    return descriptor
            except OSError as error:
                os.close(descriptor)
                busy = error.errno in {errno.EWOULDBLOCK, errno.EACCES}
                reason = "another process runs this card" if busy else error.strerror
                raise StorageError(f"{self.path}: {reason}") from error
            os.close(descriptor)

    def change(self, image: CardImage) -> None:
        """Say what card it is: identity, profile, state as delivered; the present state follows (`keep`)."""
        self.image = image
        self._head = image.head()
        self._digest = hashlib.sha256(self._head)

    def keep(self, state: bytes) -> None:
        """Put a state in place of the one that the file holds, at once or not at all.

        Raises:
            OSError: it can't be written; the file is as before.
        """
        digest = self._digest.copy()
        length = len(state).to_bytes(4, "big")
        digest.update(length)
        digest.update(state)
        new = self.path.with_name(f".{self.path.name}.new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            _write(descriptor, self._head, length, state, digest.digest())
            if self._synced:
                os.fsync(descriptor)
            os.rename(new, self.path)  # noqa: PTH104 - this is called for every command that writes
        except BaseException:
            os.close(descriptor)
            raise
        os.close(self._file)
        self._file = descriptor
        if self._synced:
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def keep_or_log(self, state: bytes) -> bool:
        """Do as `keep`; return whether it could be done, and log why not."""
        try:
            self.keep(state)
        except OSError as error:
            _log.error("%s: the card's image can't be written, and the card is mute: %s", self.path, error.strerror)
            return False
        return True

    def close(self) -> None:
        """Let others run it; safe to call twice."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                # Closing alone would leave the lock to a copy: a program that is being started has one until it runs.
                fcntl.flock(self._file, fcntl.LOCK_UN)
                os.close(self._file)
            self._file = -1


def _write(descriptor: int, *parts: bytes) -> None:
    written = os.writev(descriptor, parts)
    rest = b"".join(parts)[written:] if written < sum(map(len, parts)) else b""
    while rest:
        rest = rest[os.write(descriptor, rest) :]
