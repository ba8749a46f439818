"""Begin a project: a small applet that builds at once, and tests that drive it on a virtual SE or a card."""

from __future__ import annotations

import hashlib
import re
from string import Template
from typing import TYPE_CHECKING, Final

from opentsm_build.api import DEFAULT_RELEASE, RELEASES
from opentsm_card.aid import Aid
from opentsm_card.errors import ProtocolError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["new_applet"]

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_PACKAGE: Final = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*")
_MAX_PACKAGE_AID: Final = 15

_PROJECT: Final = """\
# A Java Card package: `opentsm build` makes build/$file.cap of it.
package = "$package"
aid = "$aid"
version = "1.0"
target = "$target"

[[applets]]
class = "$class_name"
aid = "${aid}01"
"""

_SOURCE: Final = """\
package $package;

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;

/** Answers 00 CA 00 00 with a greeting, and 00 DA 00 00 with a name changes whom it greets. */
public final class $class_name extends Applet {
    private static final byte INS_GET_DATA = (byte) 0xCA;
    private static final byte INS_PUT_DATA = (byte) 0xDA;
    private static final short MAX_NAME = 32;

    private final byte[] name = new byte[MAX_NAME];
    private short nameLength;

    private $class_name() {
    }

    public static void install(byte[] parameters, short offset, byte length) {
        // The parameters begin with the instance's AID, behind its length.
        new $class_name().register(parameters, (short) (offset + 1), parameters[offset]);
    }

    public void process(APDU apdu) {
        if (selectingApplet()) {
            return;
        }
        byte[] buffer = apdu.getBuffer();
        switch (buffer[ISO7816.OFFSET_INS]) {
            case INS_GET_DATA:
                greet(apdu, buffer);
                break;
            case INS_PUT_DATA:
                rename(apdu, buffer);
                break;
            default:
                ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
        }
    }

    private void greet(APDU apdu, byte[] buffer) {
        buffer[0] = (byte) 'H';
        buffer[1] = (byte) 'i';
        buffer[2] = (byte) ' ';
        Util.arrayCopyNonAtomic(name, (short) 0, buffer, (short) 3, nameLength);
        apdu.setOutgoingAndSend((short) 0, (short) (3 + nameLength));
    }

    private void rename(APDU apdu, byte[] buffer) {
        short length = apdu.setIncomingAndReceive();
        if (length > MAX_NAME) {
            ISOException.throwIt(ISO7816.SW_WRONG_LENGTH);
        }
        // Both or neither, whenever the power is cut.
        JCSystem.beginTransaction();
        Util.arrayCopy(buffer, ISO7816.OFFSET_CDATA, name, (short) 0, length);
        nameLength = length;
        JCSystem.commitTransaction();
    }
}
"""

_PYTEST: Final = """\
[pytest]
testpaths = tests
# Where the tests run when --se does not say: a virtual SE; or pcsc:READER, with se_key_file for its keys.
se = virtual:embedded
"""

_TEST: Final = """\
from opentsm_tools.testing import Applet, PowerCut

GET_DATA = bytes.fromhex("00CA000000")


def put_data(name: bytes) -> bytes:
    return bytes.fromhex("00DA0000") + bytes((len(name),)) + name


def test_it_greets_whom_it_is_told(applet: Applet) -> None:
    assert applet.transmit(put_data(b"Bob")) == b"\\x90\\x00"
    assert applet.send(GET_DATA).data == b"Hi Bob"


def test_a_name_that_is_too_long_changes_nothing(applet: Applet) -> None:
    applet.send(put_data(b"Bob"))
    assert applet.send(put_data(b"B" * 33)).sw == 0x6700
    assert applet.send(GET_DATA).data == b"Hi Bob"


def test_a_power_cut_leaves_the_old_name_or_the_new_one(applet: Applet, power_cut: PowerCut) -> None:
    for _write in power_cut.every(
        lambda: applet.send(put_data(b"Alexandra")), prepare=lambda: applet.send(put_data(b"Bob"))
    ):
        assert applet.send(GET_DATA).data in {b"Hi Bob", b"Hi Alexandra"}
"""

_README: Final = """\
# $class_name

```console
$$ opentsm build                  # build/$file.cap
$$ opentsm cap verify build/$file.cap
$$ pytest                         # on a virtual SE
$$ pytest --se pcsc:READER --se-key-file card.toml
```

Package AID `$aid`, applet AID `${aid}01`. Take AIDs of your own before others use it: the first five bytes (RID) are
registered by ISO/IEC 7816-5; `F0…` belongs to no one.
"""

_IGNORE: Final = "/build/\n"


def new_applet(folder: Path, *, package: str | None = None, aid: str | None = None, target: str | None = None) -> Path:
    """Make a project in a new folder.

    Args:
        folder: it must not exist; its name is the applet's.
        package: the Java package, dotted.
        aid: of the package, in hex.
        target: Java Card release.

    Returns:
        The folder.

    Raises:
        ProtocolError: a name, AID or release is not one.
        StorageError: the folder exists, or can't be made.
    """
    name = folder.name
    if not _NAME.fullmatch(name):
        raise ProtocolError(f"{name!r} is no name for an applet: letters, digits, - and _, a letter first")
    plain = re.sub(r"[^A-Za-z0-9]", "_", name).lower()
    package = package or f"com.example.{plain}"
    if not _PACKAGE.fullmatch(package):
        raise ProtocolError(f"{package!r} is no name for a Java package: lower-case words with dots")
    target = target or DEFAULT_RELEASE
    if target not in RELEASES:
        raise ProtocolError(f"target {target!r}; there are {', '.join(RELEASES)}")
    own = Aid(b"\xf0" + hashlib.sha256(package.encode()).digest()[:6]) if aid is None else Aid.from_text(aid)
    if len(own) > _MAX_PACKAGE_AID:
        raise ProtocolError(f"AID {own}: 15 bytes at most, the applet's has one more")
    class_name = "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", name))
    values = {
        "package": package, "aid": str(own), "target": target, "class_name": class_name,
        "file": package.rpartition(".")[2],
    }  # fmt: skip
    source = "/".join(["src", *package.split("."), f"{class_name}.java"])
    files = {
        "applet.toml": _PROJECT,
        source: _SOURCE,
        "pytest.ini": _PYTEST,
        f"tests/test_{plain}.py": _TEST,
        "README.md": _README,
        ".gitignore": _IGNORE,
    }
    try:
        folder.mkdir(parents=True)
        for path, template in files.items():
            target_path = folder / path
            target_path.parent.mkdir(parents=True, exist_ok=True)
            target_path.write_text(Template(template).substitute(values), encoding="utf-8")
    except FileExistsError as error:
        raise StorageError(f"{folder}: exists already; choose another name") from error
    except OSError as error:
        raise StorageError(f"{error.filename}: {error.strerror or error}") from error
    return folder
