"""Thin access to the operating system: inotify, netlink, atomic files, locks; below it D-Bus and systemd."""
