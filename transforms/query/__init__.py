"""Queries: a small language for conditions on documents and machines."""
