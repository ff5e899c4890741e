"""Identities of machines: their keys, records of them in the store, enrollment, and signed statements."""
