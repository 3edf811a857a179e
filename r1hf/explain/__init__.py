"""What a run did: rollouts explained, and the report."""
