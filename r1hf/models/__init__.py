"""Models and tokenizers: loading, saving, sampling, the students."""
