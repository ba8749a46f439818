"""Class files: read without trust, and written as stubs of an API.

Spec: Java Virtual Machine Specification, Java SE 8 Edition, chapter 4; versions 45 to 52.
"""

from opentsm_build.classfile.model import ClassFile, Code, Field, Handler, LocalVariable, Method
from opentsm_build.classfile.reader import parse_class

__all__ = ["ClassFile", "Code", "Field", "Handler", "LocalVariable", "Method", "parse_class"]
