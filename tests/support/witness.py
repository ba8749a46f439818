"""Run an `opentsm` command that writes down everything it sees and every key it ever holds.

    python witness.py RECORD opentsm-arguments …

RECORD gets one JSON line for each thing: what passes through TLS, both ways; each C-APDU with its R-APDU; each key set
that is made; each secret that is sealed, as sealed.
"""

from __future__ import annotations

import functools
import json
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Record:
    """The test's side: what one process saw.

    Args:
        path: of the file.
    """

    path: Path

    @property
    def command(self) -> list[str]:
        """What to put before the arguments of the opentsm command."""
        return [sys.executable, str(Path(__file__)), str(self.path)]

    def _of(self, kind: str) -> list[dict[str, Any]]:
        lines = (json.loads(line) for line in self.path.read_text().splitlines())
        return [line for line in lines if line["kind"] == kind]

    def seen(self) -> bytes:
        """Return all that passed through TLS, end to end."""
        return b"\n".join(bytes.fromhex(line["data"]) for line in self._of("seen"))

    def exchanges(self) -> list[tuple[bytes, bytes]]:
        """Return each C-APDU with its R-APDU."""
        return [(bytes.fromhex(line["c"]), bytes.fromhex(line["r"])) for line in self._of("apdu")]

    def key_sets(self) -> list[tuple[int, bytes, bytes, bytes]]:
        """Return version, ENC, MAC and DEK of each key set, once each."""
        found = {
            (line["version"], *(bytes.fromhex(line[name]) for name in ("enc", "mac", "dek")))
            for line in self._of("keys")
        }
        return sorted(found)

    def sealed(self) -> list[bytes]:
        """Return each sealed secret."""
        return [bytes.fromhex(line["data"]) for line in self._of("sealed")]


class _Pen:
    def __init__(self, path: str) -> None:
        self._file = Path(path).open("a", buffering=1)  # noqa: SIM115 - for the life of the process
        self._lock = threading.Lock()

    def write(self, kind: str, **fields: Any) -> None:
        with self._lock:
            self._file.write(json.dumps({"kind": kind, **fields}) + "\n")

    def tls(self) -> None:
        import ssl

        def reads(owner: Any) -> None:
            read = owner.read

            @functools.wraps(read)
            def seen(this: Any, length: int = 1024, buffer: Any = None) -> Any:
                got = read(this, length, buffer)
                data = bytes(memoryview(buffer)[:got]) if buffer is not None else got
                self.write("seen", data=bytes(data).hex())
                return got

            owner.read = seen

        def writes(owner: Any, name: str) -> None:
            write = getattr(owner, name)

            @functools.wraps(write)
            def seen(this: Any, data: Any, *rest: Any) -> Any:
                sent = write(this, data, *rest)
                self.write("seen", data=bytes(data)[:sent].hex())
                return sent

            setattr(owner, name, seen)

        reads(ssl.SSLObject)
        reads(ssl.SSLSocket)
        writes(ssl.SSLObject, "write")
        writes(ssl.SSLSocket, "send")

    def keys(self) -> None:
        from opentsm_card.keys import KeySet

        check = KeySet.__post_init__

        def held(this: KeySet) -> None:
            check(this)
            self.write("keys", version=this.version, enc=this.enc.hex(), mac=this.mac.hex(), dek=this.dek.hex())

        setattr(KeySet, "__post_init__", held)  # noqa: B010 - mypy would have it that a class is not to be changed

    def seals(self) -> None:
        from opentsm_tsm.keystore import KeyStore

        seal = KeyStore.seal

        def seen(this: KeyStore, secret: bytes, context: bytes) -> bytes:
            sealed = seal(this, secret, context)
            self.write("sealed", data=sealed.hex())
            return sealed

        setattr(KeyStore, "seal", seen)  # noqa: B010 - as above

    def apdus(self) -> None:
        from opentsm_agent.links.tcp import TcpLink

        transmit = TcpLink.transmit

        def seen(this: TcpLink, command: bytes) -> bytes:
            answer = transmit(this, command)
            self.write("apdu", c=command.hex(), r=answer.hex())
            return answer

        setattr(TcpLink, "transmit", seen)  # noqa: B010 - as above


def main() -> None:
    pen, arguments = _Pen(sys.argv[1]), sys.argv[2:]
    pen.tls()
    if arguments[0] == "tsm":
        pen.keys()
        pen.seals()
    else:
        pen.apdus()
    from opentsm_tools.main import main as opentsm

    sys.argv = ["opentsm", *arguments]
    opentsm()


if __name__ == "__main__":
    main()
