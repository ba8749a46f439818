"""`opentsm cap`: the commands for CAP files, and signing, which takes the keys that `opentsm card` takes."""

from opentsm_build.cap_cli import cap
from opentsm_tools.cap_sign import cap_sign

__all__ = ["cap"]

cap.add_command(cap_sign)
