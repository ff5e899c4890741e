"""The facts of a machine and its installed units, read from the files below a root directory.

It builds on `document` for agent.yaml and on `systemd` for unit files. Nothing here asks a running system.
"""
