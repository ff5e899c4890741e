"""Hands rendered runs to the scheduler of a system, and asks it about them: programs without a shell, and records."""
