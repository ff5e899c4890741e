"""Formats of single values: durations, sizes, addresses, patterns, commands."""
