"""CAP files, the form in which Java Card packages are loaded: read, write, and a typed model of every component.

Spec: Java Card Virtual Machine Specification, Classic Edition (2.2.2 to 3.1), chapter 6; CAP formats 2.1, 2.2, 2.3.
"""

from opentsm_build.cap.file import CapFile
from opentsm_build.cap.header import AppletInfo, PackageInfo
from opentsm_build.cap.tags_tables import ComponentTag, HeaderFlag

# The names under which the rest of the project speaks of them.
CapApplet = AppletInfo
ImportedPackage = PackageInfo

__all__ = ["CapApplet", "CapFile", "ComponentTag", "HeaderFlag", "ImportedPackage"]
