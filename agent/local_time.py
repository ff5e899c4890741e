"""Times as people read them: local, as systemctl prints them. JSON has ISO 8601 in UTC instead."""

from __future__ import annotations

from datetime import datetime

FORMAT = "%a %Y-%m-%d %H:%M:%S %Z"
"""The format of systemd.time(7)."""


def local_time(moment: datetime | str) -> str:
    """Return a time, or a text in ISO 8601, in local time; a text that is not a time is returned as it is."""
    if isinstance(moment, datetime):
        return moment.astimezone().strftime(FORMAT)
    try:
        return datetime.fromisoformat(moment).astimezone().strftime(FORMAT)
    except ValueError:
        return moment
