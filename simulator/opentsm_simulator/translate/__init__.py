"""CAP files to JVM classes: what lets the virtual SE run a package it was sent, at the JVM's speed.

    package = translate(CapFile.parse_load_file(data), loaded)
    package.classes                    # class files, to be defined in a card's class loader
    package.applets                    # AID and class with install([BSB)V, of each applet

`linkage` resolves imports, `classes` the package's own classes, `targets` its constant pool, `analysis` finds methods,
stacks and signatures, `emit` writes a method, `package` the classes.
"""

from __future__ import annotations

from opentsm_simulator.translate.linkage import KnownPackage
from opentsm_simulator.translate.package import TranslatedPackage, translate

__all__ = ["KnownPackage", "TranslatedPackage", "translate"]
