"""The systemd generator and the programs that place files and accounts: boot cache in, units and files out."""
