"""``listen`` and ``schedule`` as lines of a socket or timer, ours or a drop-in for the distribution's."""

from __future__ import annotations

from ordain.transforms.catalog.known_words import is_time_zone, time_zones
from ordain.transforms.catalog.names import Names
from ordain.transforms.errors import did_you_mean
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Branch, strings
from ordain.transforms.render.unit_draft import UnitDraft
from ordain.transforms.systemd.values import timespan

_ZONE = lazy_pattern(r"[A-Z][A-Za-z_]+/[A-Za-z0-9_+/-]+")
_WITHIN_MINUTES = lazy_pattern(r":[^:\s]+:[0-9.]*(?:[*/,]|\.\.)")
"""Calendar times with several seconds of one minute, such as ``*:*:0/10``."""
_USUAL_USEC = 60_000_000
"""AccuracySec= of a timer that does not set it (systemd.timer(5))."""
_SHORTEST_USEC = 1_000_000
LISTEN = {
    "stream": "ListenStream",
    "datagram": "ListenDatagram",
    "sequential": "ListenSequentialPacket",
    "fifo": "ListenFIFO",
}
SCHEDULE = {
    "after-boot": "OnBootSec",
    "every": "OnUnitActiveSec",
    "splay": "RandomizedDelaySec",
    "persistent": "Persistent",
}


def _accuracy(branch: Branch) -> str:
    """Return the accuracy that the times need if the usual one, a minute, is too coarse, else ""."""
    usec = [timespan(str(leaf.value)) // 10 for leaf in (branch.leaf("every"),) if leaf]
    calendar = branch.leaf("calendar")
    if calendar and any(_WITHIN_MINUTES.search(time) for time in strings(calendar.value)):
        usec.append(1_000_000)
    least = min(usec, default=_USUAL_USEC)
    if not 0 < least < _USUAL_USEC:
        return ""
    return next(
        f"{least // per}{unit}" for per, unit in ((1_000_000, "s"), (1_000, "ms"), (1, "us")) if not least % per
    )


def add_listen(branch: Branch, draft: UnitDraft, names: Names) -> None:
    """Add the lines of a socket unit; in a drop-in, the addresses replace the distribution's."""
    for name, key in LISTEN.items():
        if leaf := branch.leaf(name):
            if draft.drop_in:
                draft.add("Socket", key, "", leaf)
            for address in strings(leaf.value):
                draft.set("Socket", key, address, leaf)
    if (leaf := branch.leaf("accept")) and isinstance(leaf.value, bool):
        draft.set("Socket", "Accept", leaf.value, leaf)
    if leaf := branch.leaf("mode"):
        draft.set("Socket", "SocketMode", str(leaf.value), leaf)
    if leaf := branch.leaf("user"):
        draft.set("Socket", "SocketUser", names.user(str(leaf.value)), leaf)
    if not draft.drop_in and not any(name in branch for name in LISTEN):
        draft.block(branch.here, "listen has no address", f"set one of {', '.join(LISTEN)}")


def add_schedule(branch: Branch, draft: UnitDraft) -> None:
    """Add the lines of a timer unit; in a drop-in, the calendar times replace the distribution's."""
    if leaf := branch.leaf("calendar"):
        if draft.drop_in:
            draft.add("Timer", "OnCalendar", "", leaf)
        for calendar in strings(leaf.value):
            zone = calendar.split()[-1] if calendar.split() else ""
            if _ZONE.fullmatch(zone) and not is_time_zone(zone):
                draft.warn(leaf, f"{zone} is not a time zone of tzdata", did_you_mean(zone, time_zones()), "Doubtful")
            draft.set("Timer", "OnCalendar", calendar, leaf)
    for name, key in SCHEDULE.items():
        if leaf := branch.leaf(name):
            draft.set("Timer", key, leaf.value if isinstance(leaf.value, bool) else str(leaf.value), leaf)
    persistent = branch.leaf("persistent")
    if persistent and persistent.value is True and "calendar" not in branch and not draft.drop_in:
        what = "persistent has an effect on calendar times only (systemd.timer(5), Persistent=)"
        draft.warn(persistent, what, "remove it, or set `calendar`", "Doubtful")
    if splay := branch.leaf("splay"):
        # Else PID 1 draws a new delay at each start of the timer, and a rare timer might never elapse.
        draft.set("Timer", "FixedRandomDelay", True, splay)
    if accuracy := _accuracy(branch):
        why = "the times are close together: PID 1 may be late by a minute otherwise"
        draft.set_defaults("Timer", {"AccuracySec": accuracy}, why)
    every = branch.leaf("every")
    if every and not timespan(str(every.value)):
        draft.block(every, f"every {every.value} would start it again without a pause", "write a longer time")
    elif every and timespan(str(every.value)) < _SHORTEST_USEC:
        what = f"every {every.value} starts it more often than once a second"
        draft.warn(every, what, "write the unit that is meant, such as 1min, or a service that runs on", "Doubtful")
    if every and "after-boot" not in branch:
        # OnUnitActiveSec= counts from the last start, so that something has to start the unit first. OnActiveSec= would
        # start it at every daemon-reload (systemd issue 31914); OnBootSec= does not.
        draft.set("Timer", "OnBootSec", str(every.value), every)
    if not draft.drop_in and not any(name in branch for name in ("calendar", "after-boot", "every")):
        draft.block(branch.here, "schedule has no time", "set one of calendar, after-boot, every")
