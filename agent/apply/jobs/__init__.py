"""Jobs of PID 1, and the verdict on each unit: its state, its health probe, the reason of a failure."""
