"""Times as people read them: local, as systemctl prints them. JSON has ISO 8601 in UTC instead."""

from __future__ import annotations

import time
from datetime import datetime

FORMAT = "%a %Y-%m-%d %H:%M:%S %Z"
"""The format of systemd.time(7)."""


def local_time(moment: datetime | str) -> str:
    """Return a time, or a text in ISO 8601, in local time; a text that is not a time is returned as it is."""
    try:
        return to_local(datetime.fromisoformat(moment) if isinstance(moment, str) else moment).strftime(FORMAT)
    except ValueError:
        return str(moment)


def to_local(moment: datetime) -> datetime:
    """Return a time in the time zone that the machine has now, which may have changed since this process started."""
    time.tzset()
    return moment.astimezone()
