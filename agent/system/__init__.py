"""Thin access to the operating system: D-Bus, PID 1, inotify, atomic files, locks."""
