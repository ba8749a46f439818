"""A minimal Java Card package as a load file data block, written byte by byte from the specification.

Spec: Java Card VM Specification 3.0.5, Classic Edition, 6 (CAP format 2.1).
"""

from __future__ import annotations

import struct
from typing import Final

JAVACARD_FRAMEWORK: Final = (bytes.fromhex("A0000000620101"), 1, 0)
JAVA_LANG: Final = (bytes.fromhex("A0000000620001"), 1, 0)

PACKAGE: Final = bytes.fromhex("F06F70656E74736D0CA7")
MODULE: Final = PACKAGE + b"\x01"
SECOND_MODULE: Final = PACKAGE + b"\x02"
LIBRARY: Final = bytes.fromhex("F06F70656E74736D0CAB")

Import = tuple[bytes, int, int]


def _component(tag: int, content: bytes) -> bytes:
    return struct.pack(">BH", tag, len(content)) + content


def small_cap(
    package: bytes = PACKAGE,
    *,
    version: tuple[int, int] = (1, 0),
    modules: tuple[bytes, ...] = (MODULE,),
    imports: tuple[Import, ...] = (JAVACARD_FRAMEWORK, JAVA_LANG),
    padding_bytes: int = 0,
    registers: bool = False,
) -> bytes:
    """Return the components of a package in load order.

    Args:
        package: its AID.
        version: (major, minor).
        modules: AIDs of its applets; each install() returns at once, unless it registers.
        imports: AID, major and minor version of each imported package; javacard.framework is the first.
        padding_bytes: further methods, to make it as long as a test needs.
        registers: whether install() makes an instance and registers it; its process() returns at once.
    """
    flags = 0x04 if modules else 0x00
    major, minor = version
    header = _component(
        1, struct.pack(">IBBB", 0xDECAFFED, 1, 2, flags) + bytes((minor, major, len(package))) + package
    )
    imported = bytes((len(imports),)) + b"".join(
        bytes((minor_version, major_version, len(aid))) + aid for aid, major_version, minor_version in imports
    )
    # Methods begin behind the handler count: flags and stack, arguments and locals, `return`.
    methods = b"\x00" + b"\x00\x30\x7a" * (1 + padding_bytes // 3)
    install = 0x0B if registers else 0x01
    applets = bytes((len(modules),)) + b"".join(bytes((len(aid),)) + aid + bytes((0, install)) for aid in modules)
    # One class that extends javacard.framework.Applet (package token 0, class token 3), without methods of its own.
    classes = b"\x00\x80\x03\x00\xff\x00\x00\x00\x00\x00" if modules else b""
    pool = b"\x00\x01\x01\x00\x00\x00" if modules else b"\x00\x00"
    if registers:
        # Class 0; Applet's constructor and this class's, both static references; register().
        pool = bytes.fromhex("0004 01000000 06800300 06000001 03800301")
        # The constructor (aload_0, invokespecial 1, return), process(APDU), and install(byte[], short, byte):
        # new 0, dup, invokespecial 2, invokevirtual 3, return.
        methods = b"\x00" + bytes.fromhex("0110 18 8c0001 7a  0020 7a  0230 8f0000 3d 8c0002 8b0003 7a") + methods[1:]
        # process() is the one public method, number 7, at 8.
        classes = bytes.fromhex("00 8003 00 ff 00 07 01 00 00 0008")
    statics = bytes(10)
    references = bytes(4)
    parts = {
        3: _component(3, applets) if modules else b"",
        4: _component(4, imported),
        5: _component(5, pool),
        6: _component(6, classes),
        7: _component(7, methods),
        8: _component(8, statics),
        9: _component(9, references),
    }
    sizes = [len(header) - 3, 31, *(max(len(parts[tag]) - 3, 0) for tag in range(3, 10)), 0, 0]
    directory = _component(2, struct.pack(">11H", *sizes) + bytes(6) + bytes((len(imports), len(modules), 0)))
    order = (4, 3, 6, 7, 8, 5, 9)
    return header + directory + b"".join(parts[tag] for tag in order)
