"""The rows of the command tables of SE configurations: one a command, or a form of one with a rule of its own."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from opentsm_card.lifecycle import CardState

__all__ = ["CommandName", "set_status_card"]


class CommandName(StrEnum):
    """A command, or a form of one that needs an authority of its own, by the name that the tables give it."""

    SELECT = "select"
    MANAGE_CHANNEL = "manage-channel"
    INITIALIZE_UPDATE = "initialize-update"
    EXTERNAL_AUTHENTICATE = "external-authenticate"
    PERFORM_SECURITY_OPERATION = "perform-security-operation"
    MUTUAL_AUTHENTICATE = "mutual-authenticate"
    INTERNAL_AUTHENTICATE = "internal-authenticate"
    GET_DATA = "get-data"
    GET_STATUS_ISSUER = "get-status-issuer"
    GET_STATUS_APPLICATIONS = "get-status-applications"
    GET_STATUS_LOAD_FILES = "get-status-load-files"
    SET_STATUS_APPLICATION = "set-status-application"
    SET_STATUS_DOMAIN = "set-status-domain"
    SET_STATUS_CONTACTLESS = "set-status-contactless"
    SET_STATUS_CARD_INITIALIZED = "set-status-card-initialized"
    SET_STATUS_CARD_SECURED = "set-status-card-secured"
    SET_STATUS_CARD_LOCKED = "set-status-card-locked"
    SET_STATUS_CARD_TERMINATED = "set-status-card-terminated"
    PUT_KEY_NEW = "put-key-new"
    PUT_KEY_REPLACE = "put-key-replace"
    DELETE_KEY = "delete-key"
    STORE_DATA = "store-data"
    INSTALL_FOR_PERSONALIZATION = "install-for-personalization"
    STORE_DATA_APPLICATION = "store-data-application"
    INSTALL_FOR_LOAD = "install-for-load"
    LOAD = "load"
    INSTALL_FOR_LOAD_AND_INSTALL = "install-for-load-and-install"
    INSTALL_FOR_INSTALL = "install-for-install"
    INSTALL_AND_MAKE_SELECTABLE = "install-and-make-selectable"
    INSTALL_FOR_MAKE_SELECTABLE = "install-for-make-selectable"
    INSTALL_FOR_EXTRADITION = "install-for-extradition"
    INSTALL_FOR_REGISTRY_UPDATE = "install-for-registry-update"
    DELETE_APPLICATION = "delete-application"
    DELETE_LOAD_FILE = "delete-load-file"
    DELETE_LOAD_FILE_AND_APPLICATIONS = "delete-load-file-and-applications"


_CARD_STATES: Final = {
    CardState.INITIALIZED: CommandName.SET_STATUS_CARD_INITIALIZED,
    CardState.SECURED: CommandName.SET_STATUS_CARD_SECURED,
    CardState.CARD_LOCKED: CommandName.SET_STATUS_CARD_LOCKED,
    CardState.TERMINATED: CommandName.SET_STATUS_CARD_TERMINATED,
}


def set_status_card(state: CardState) -> CommandName | None:
    """Return the row of the SET STATUS that brings the card into a state; None for OP_READY, which none does."""
    return _CARD_STATES.get(state)
