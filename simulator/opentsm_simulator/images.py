"""Where card images are on this machine, by name, file or folder."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from opentsm_card.errors import OpenTsmError, ProtocolError, StorageError
from opentsm_simulator.image import CardImage, ImageFile, read_image

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SUFFIX", "image_of", "image_path", "image_paths", "images_folder", "listed_images", "reset_image"]

SUFFIX: Final = ".card"
"""What the name of a card image's file ends with."""


def images_folder() -> Path:
    """Return where images go that are given by name alone: OPENTSM_SE_DIR, or a folder in XDG_DATA_HOME."""
    if own := os.environ.get("OPENTSM_SE_DIR"):
        return Path(own)
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "opentsm" / "se"


def image_path(name: str) -> Path:
    """Return the file of an image: a path as it is, a name in the folder of images."""
    if os.sep in name or name.endswith(SUFFIX) or Path(name).is_dir():
        return Path(name)
    return images_folder() / (name + SUFFIX)


def image_paths(name: str) -> tuple[Path, ...]:
    """Return the files of an image, or of all images in a folder, by name.

    Raises:
        ProtocolError: there is none in the folder.
    """
    path = image_path(name)
    if not path.is_dir():
        return (path,)
    found = tuple(sorted(path.glob("*" + SUFFIX), key=_in_order))
    if not found:
        raise ProtocolError(f"{path}: there is no card image (*{SUFFIX}) in this folder")
    return found


def _in_order(path: Path) -> tuple[str, int, str]:
    """Sort se-10 behind se-9."""
    stem = path.name.removesuffix(SUFFIX)
    head = stem.rstrip("0123456789")
    return head, int(stem[len(head) :] or 0), stem


def image_of(path: Path) -> CardImage:
    """Return the image in a file.

    Raises:
        StorageError: it can't be read.
        ProtocolError: it is no card image, is damaged, or is another release's.
    """
    try:
        return CardImage.parse(read_image(path))
    except ProtocolError as error:
        raise ProtocolError(f"{path}: {error}") from error


def listed_images(folder: Path) -> Iterator[dict[str, Any]]:
    """Describe the images in a folder; one that can't be read has an `error`.

    Raises:
        StorageError: there is no such folder.
    """
    try:
        paths = sorted((path for path in folder.iterdir() if path.name.endswith(SUFFIX)), key=_in_order)
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror}") from error
    for path in paths:
        try:
            image = image_of(path)
            yield {"id": image.se_id, "profile": image.profile.name, "image": str(path)}
        except OpenTsmError as error:
            yield {"id": path.name.removesuffix(SUFFIX), "profile": None, "image": str(path), "error": str(error)}


def reset_image(path: Path) -> str:
    """Make the card of an image file that nobody runs as it was delivered; return the SE's identity.

    Raises:
        StorageError: it can't be read or written, or another process runs it.
        ProtocolError: it is no card image, or its card as delivered can't run here; the file is as before.
    """
    # Imported here: the JVM's bindings are not needed to find images.
    from opentsm_simulator.virtual_se import VirtualSe  # noqa: PLC0415 - see above

    file = ImageFile(path)
    try:
        delivered = replace(file.image, state=file.image.delivered)
        VirtualSe.from_image(delivered.encode())
        file.keep(delivered.state)
    except ProtocolError as error:
        raise ProtocolError(f"{path}: {error} (remove the file, then opentsm se create)") from error
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    finally:
        file.close()
    return file.image.se_id
