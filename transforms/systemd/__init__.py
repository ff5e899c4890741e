"""The syntax of systemd: directives, values, quoting, unit names and unit files.

It knows which systemd version reads which directive, and how each directive writes its values. It builds on the modules
at the top of transforms/ only.
"""
