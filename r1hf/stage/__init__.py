"""A stage: its directory, manifest, locks, and inputs from the Hub."""
