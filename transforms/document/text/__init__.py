"""Texts in YAML and JSON to nodes that know their lines."""
