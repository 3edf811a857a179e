"""The rewards of a stage on the rows of its own files."""
