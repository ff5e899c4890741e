"""Releases and machines in a store: publishing, staged rollouts, semaphores and reports."""
