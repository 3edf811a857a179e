"""Runs of r1hf and of others, read into one table."""
