"""Which samples are kept: verdicts by rule or by a judging model, and the choice among the right ones."""
