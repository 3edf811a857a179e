"""The `r1hf` command: one module per subcommand, each with `add_arguments(parser)` and `run(options) -> int`."""
