"""Facts about a machine and its installed units, read below a root directory."""
