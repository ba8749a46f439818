"""A modem on a pseudo-terminal that answers OK to every command, and delivers short messages."""

from __future__ import annotations

import os
import pty
import select
import threading
import tty
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from opentsm_card.sms_deliver import SmsDeliver

__all__ = ["SmsModem"]


class SmsModem:
    """The device's end is `path`; `commands` are what it was asked."""

    def __init__(self) -> None:
        self._host, device = pty.openpty()
        tty.setraw(device)
        self.path = os.ttyname(device)
        self._device = device
        self.commands: list[str] = []
        self.changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended = True
        self._thread.join(5)
        os.close(self._host)
        os.close(self._device)

    def say(self, text: str) -> None:
        """Say something unasked."""
        os.write(self._host, f"\r\n{text}\r\n".encode())

    def deliver(self, message: SmsDeliver) -> None:
        """Deliver a short message (TS 27.005, 3.4.1)."""
        pdu = message.encode()
        self.say(f"+CMT: ,{len(pdu) - 1 - pdu[0]}\r\n{pdu.hex().upper()}")

    def wait_for(self, command: str) -> None:
        """Wait until a command was given."""
        with self.changed:
            assert self.changed.wait_for(lambda: command in self.commands, 20), self.commands

    def _serve(self) -> None:
        line = b""
        while not self._ended:
            if not select.select([self._host], [], [], 0.05)[0]:
                continue
            line += os.read(self._host, 4096)
            while b"\r" in line:
                command, _, line = line.partition(b"\r")
                text = {b"AT+CGMI": "Example", b"AT+CGMM": "M1"}.get(command)
                self.say(f"{text}\r\n\r\nOK" if text else "OK")
                with self.changed:
                    self.commands.append(command.decode())
                    self.changed.notify_all()
