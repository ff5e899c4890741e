"""Judgements on units that are valid for systemd's syntax: refused by PID 1, ignored, or surely meant otherwise.

The syntax itself is in `transforms/systemd/`, which imports nothing from here.
"""
