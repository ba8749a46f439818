"""Fuzzing of a virtual SE: commands that are nearly right, in and out of sessions, on both interfaces.

`commands` makes them, `episode` sends them to one card, `invariants` says what must hold of its registry, and
`campaign` runs many episodes from one seed and tells what was found. `opentsm se fuzz` is the door.
"""
