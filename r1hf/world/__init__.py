"""A world small enough to see the whole pipeline work on a laptop. It is no reasoning benchmark and says so."""
