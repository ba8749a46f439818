"""The APIs that a card offers, as token tables: Java Card, GlobalPlatform, UICC.

The tables (`*.json`) hold facts from the published export files of these APIs: AIDs, versions, tokens, flags and
constants.
"""

from opentsm_build.api.lookup import find_package, oldest_release, package_name
from opentsm_build.api.model import ApiClass, ApiField, ApiMethod, ApiPackage
from opentsm_build.api.tables import DEFAULT_RELEASE, RELEASES, forget, java_card, names, package, versions

__all__ = [
    "DEFAULT_RELEASE",
    "RELEASES",
    "ApiClass",
    "ApiField",
    "ApiMethod",
    "ApiPackage",
    "find_package",
    "forget",
    "java_card",
    "names",
    "oldest_release",
    "package",
    "package_name",
    "versions",
]
