"""The converter: class files to CAP file, by the specification and without anyone's kit.

Spec: Java Card Virtual Machine Specification, Classic Edition (2.2.2 to 3.1).
"""

from opentsm_build.convert.converter import convert
from opentsm_build.convert.package import Conversion, Options, Package

__all__ = ["Conversion", "Options", "Package", "convert"]
