"""A PKCS#11 token of SoftHSM in a folder of its own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

__all__ = ["PIN", "SoftHsm"]

PIN = "no-hex-digits"
_LIBRARIES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so")


class SoftHsm:
    """A token; SoftHSM reads `configuration` (SOFTHSM2_CONF) when its library is loaded, once in a process."""

    def __init__(self, folder: Path, label: str) -> None:
        library = next((path for path in _LIBRARIES if Path(path).exists()), None)
        program = shutil.which("softhsm2-util")
        assert library is not None, "needs SoftHSM: apt-get install softhsm2"
        assert program is not None
        self.library = library
        (folder / "tokens").mkdir()
        self.configuration = folder / "softhsm2.conf"
        self.configuration.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n")
        self.environment = {"SOFTHSM2_CONF": str(self.configuration)}
        command = [program, "--init-token", "--free", "--label", label, "--so-pin", PIN, "--pin", PIN]
        subprocess.run(command, check=True, capture_output=True, env=self.environment)
        self.pin = folder / "pin"
        self.pin.write_text(f"{PIN}\n")
        self.pin.chmod(0o600)
