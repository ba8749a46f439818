"""Begin a project: a small applet that builds at once, and a test that drives it on a virtual SE."""

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
        Util.arrayCopy(buffer, ISO7816.OFFSET_CDATA, name, (short) 0, length);
        nameLength = length;
    }
}
"""

_PROFILE: Final = """\
# A virtual SE on which the applet stands in for the issuer security domain: enough to talk to it.
summary = "$class_name, alone on a card"
secure_element_type = "embedded"
packages = [".."]

[keys]

[[instances]]
aid = "$instance"
load_file = "$aid"
module = "${aid}01"
privileges = "9EFE80"
"""

_TEST: Final = """\
from pathlib import Path

from opentsm_simulator import VirtualSe

AID = bytes.fromhex("$instance")


def test_it_greets_whom_it_is_told() -> None:
    card = VirtualSe.create(str(Path(__file__).with_name("profile.toml"))).link()
    assert card.transmit(b"\\x00\\xa4\\x04\\x00" + bytes((len(AID),)) + AID)[-2:] == b"\\x90\\x00"
    assert card.transmit(b"\\x00\\xda\\x00\\x00\\x03Bob") == b"\\x90\\x00"
    assert card.transmit(b"\\x00\\xca\\x00\\x00\\x00") == b"Hi Bob\\x90\\x00"
"""

_README: Final = """\
# $class_name

```console
$$ opentsm build                  # build/$file.cap
$$ opentsm cap verify build/$file.cap
$$ pytest tests
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
        "package": package, "aid": str(own), "instance": f"{own}0101"[:32], "target": target, "class_name": class_name,
        "file": package.rpartition(".")[2],
    }  # fmt: skip
    source = "/".join(["src", *package.split("."), f"{class_name}.java"])
    files = {
        "applet.toml": _PROJECT,
        source: _SOURCE,
        "tests/profile.toml": _PROFILE,
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
