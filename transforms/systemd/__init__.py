"""systemd's own syntax: directives, values, quoting, unit names and unit files."""
