"""Data sets of every stage: rows read, packed, checked and mixed."""
