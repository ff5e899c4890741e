"""Expansion of jinja2 templates in documents, within a budget of steps and size.

It builds on `systemd` for the sentinels that become specifiers.
"""
