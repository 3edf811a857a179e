"""Checks that find, before a launch, what would make a run fail or learn the wrong thing."""
