"""`opentsm card`: look at a card and manage what is on it."""

from __future__ import annotations

from typing import Final

import click

from opentsm_tools.card.options import CardGroup

__all__ = ["card"]

_HERE: Final = "opentsm_tools.card"
_COMMANDS: Final = {
    "info": (f"{_HERE}.info:info", "Show what a card says of itself: ATR, production, protocols, keys, memory."),
    "list": (f"{_HERE}.listing:list_", "Show security domains, load files and applications."),
    "install": (f"{_HERE}.installing:install", "Load a CAP file and install its applet."),
    "load": (f"{_HERE}.loading:load", "Load a CAP file."),
    "delete": (f"{_HERE}.content:delete", "Delete applications, security domains and load files."),
    "lock": (f"{_HERE}.locking:lock", "Lock an application, a security domain, or the card."),
    "unlock": (f"{_HERE}.locking:unlock", "Unlock an application, a security domain, or the card."),
    "advance": (f"{_HERE}.locking:advance", "Advance the card to INITIALIZED or SECURED, for good."),
    "terminate": (f"{_HERE}.locking:terminate", "Terminate the card, for ever."),
    "keys": (f"{_HERE}.key_commands:keys", "List, check, put, rotate and delete keys."),
    "personalize": (f"{_HERE}.personalizing:personalize", "Store data from files."),
    "extradite": (f"{_HERE}.content:extradite", "Hand an application over to another security domain."),
    "registry-update": (f"{_HERE}.content:registry_update", "Change privileges, owner or implicit selection."),
    "apply": (f"{_HERE}.apply:apply", "Bring a card into the state that a file declares."),
    "token": (f"{_HERE}.tokens:token", "Sign tokens of delegated management."),
    "receipt": (f"{_HERE}.tokens:receipt", "Verify receipts of delegated management."),
    "send": (f"{_HERE}.scripts:send", "Send APDUs, or a script with expectations."),
    "shell": (f"{_HERE}.shell:shell", "Work at one card with every subcommand."),
    "stdio": (f"{_HERE}.stdio:stdio", "Serve a card to a stdio: link, also from another machine."),
    "profiles": (f"{_HERE}.profiles:profiles", "Show what is publicly known of real cards."),
    "forget-failure": (
        f"{_HERE}.forgetting:forget_failure",
        "Let a card be tried again after a failed authentication.",
    ),
}


@click.group(cls=CardGroup, lazy=_COMMANDS, shared=True, context_settings={"help_option_names": ["-h", "--help"]})
def card() -> None:
    """Look at a card and manage what is on it, over any link.

    \b
    What is on the card in a PC/SC reader, with keys from a file:
        opentsm card --link pcsc:ACR --key-file card.toml list
    The same on a virtual SE, whose keys its profile publishes:
        opentsm card --link virtual:embedded list

    Options stand before or behind the subcommand. Which keys, which key version and which diversification is for you to
    say: none are tried unasked, and after one failed authentication the card is left alone until you say otherwise.
    Published test keys are used on test cards only (--test-card).

    Exit codes: 0 done, 1 refused by the card (or by opentsm, to keep it from harm), 2 usage, 3 link, 4 bad input.
    """  # noqa: D301 - click's mark for text that is not to be wrapped
