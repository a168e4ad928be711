"""Data that comes with the package; see SOURCE.txt."""
