"""The systemd generator: boot cache in, units out."""
