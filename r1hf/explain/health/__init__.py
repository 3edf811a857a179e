"""How a run does, in words: what is wrong with it, why, and what to try."""
