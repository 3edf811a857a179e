"""The settings of a stage against its trainer, its data and this machine."""
