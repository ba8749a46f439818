"""A host of an application that knows short commands only: long ones in chains, long answers by GET RESPONSE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_build.cap import CapFile
from opentsm_card.install import InstallForInstall, InstallForLoad
from opentsm_card.install_parameters import InstallParameters
from opentsm_card.load import load_blocks, load_file
from sd_host import ISD, ISD_KEYS, Host

if TYPE_CHECKING:
    from pathlib import Path

    from opentsm_card.aid import Aid
    from opentsm_card.link import Link
    from opentsm_simulator import VirtualSe

__all__ = ["ShortHost", "install_cap"]

_MOST_DATA: Final = 255


class ShortHost:
    """Sends commands in hexadecimal: the header apart from the data, Le always 00."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def send(self, header: str, data: bytes | str = b"") -> tuple[bytes, int]:
        """Return all data of the answer, and the status word behind them; or that which broke a chain off."""
        head, rest = bytes.fromhex(header), bytes.fromhex(data) if isinstance(data, str) else data
        while len(rest) > _MOST_DATA:
            part, rest = rest[:_MOST_DATA], rest[_MOST_DATA:]
            answer = self.link.transmit(bytes((head[0] | 0x10,)) + head[1:] + bytes((len(part),)) + part)
            if answer != b"\x90\x00":
                return b"", int.from_bytes(answer[-2:], "big")
        answer = self.link.transmit(head + (bytes((len(rest),)) + rest if rest else b"") + b"\x00")
        got = answer[:-2]
        while answer[-2] == 0x61:
            answer = self.link.transmit(bytes.fromhex("00C00000") + answer[-1:])
            got += answer[:-2]
        return got, int.from_bytes(answer[-2:], "big")

    def sw(self, header: str, data: bytes | str = b"") -> int:
        return self.send(header, data)[1]

    def done(self, header: str, data: bytes | str = b"") -> bytes:
        answer, sw = self.send(header, data)
        assert sw == 0x9000, f"{header}: {sw:04X}"
        return answer

    def select(self, name: str) -> bytes:
        return self.done("00A40400", name)


def install_cap(se: VirtualSe, path: Path, module: Aid, instance: Aid, parameters: bytes = b"") -> int:
    """Load a CAP file by the issuer's domain; return the status word of the installation."""
    host = Host(se.link()).into(ISD, ISD_KEYS)
    cap = CapFile.read(path)
    host.done(InstallForLoad(cap.package_aid))
    host.done(*load_blocks(load_file(cap.load_file_data_block()), 200))
    given = InstallParameters(application=parameters).encode()
    return host.sw(InstallForInstall(cap.package_aid, module, instance, parameters=given))
