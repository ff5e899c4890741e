"""Layers to one document: which layers match a machine, and how they merge."""
