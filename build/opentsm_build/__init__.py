"""The toolchain: Java sources to classes to CAP files."""
