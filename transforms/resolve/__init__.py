"""Resolves documents into one for a machine: chooses the layers that match it, and merges them.

It builds on `document`.
"""
