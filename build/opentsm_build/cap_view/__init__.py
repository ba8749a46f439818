"""What people and scripts want to know of a CAP file: a summary, lists, annotated code, differences."""
