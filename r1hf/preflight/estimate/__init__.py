"""What a stage will need before it is launched: memory of each phase, time of each step, GPU-hours and cost."""
