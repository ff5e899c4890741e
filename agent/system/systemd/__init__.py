"""PID 1 and its journal: calls of org.freedesktop.systemd1, transient units, notifications, log entries."""
