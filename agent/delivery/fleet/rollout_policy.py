"""The rules that tell a machine when it may take a new release: stage, window, splay. `rollout_gate` has the semaphore.

    head of the channel ─stage▶ ─window▶ ─splay▶ ─slot▶ handed to the agent

`ordainctl release rollout` opens stages and stops them by one key of the store (`RolloutState`). Every machine decides
by that key and its own machine-id alone. So a rollout makes progress only while somebody watches the reports of the
machines. Without the key, only the first stage is open.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ordain.agent.delivery.release.manifest import Rollout
from ordain.agent.json_codec import from_json
from ordain.agent.model import to_json
from ordain.transforms.document.formats.maintenance_windows import Window, next_opening


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutState:
    """The progress of the rollout of release ``number``: ``share`` (0 to 1) of the machines may take it.

    While ``halted`` has a reason, no machine may. ``opened`` is the start of the stage in seconds since 1970.
    ``rolled_back`` are the machine-ids whose reports stopped the rollout; an administrator who stops it names none.
    The reports of ``ignored`` machines are ignored.
    """

    number: int
    share: float
    halted: str = ""
    opened: float = 0.0
    rolled_back: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """The reason why a machine waits, and the end of the wait; None: until the store changes."""

    why: str
    until: datetime | None = None


def encode_rollout(state: RolloutState) -> bytes:
    """Return the content of the key."""
    return json.dumps(to_json(state)).encode()


def decode_rollout(data: bytes) -> RolloutState:
    """Read the content of the key. Raises ValueError."""
    try:
        return from_json(RolloutState, json.loads(data))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not the state of a rollout: {error}") from None


def stage_wait(rollout: Rollout, number: int, state: RolloutState | None, place: float) -> Wait | None:
    """Return the wait that the stages of release ``number`` impose on the machine at ``place``, if any."""
    state = state if state is not None and state.number == number else None
    if state is not None and state.halted:
        return Wait(why=f"the rollout is stopped: {state.halted}")
    if not rollout.stages:
        return None
    share = state.share if state is not None else rollout.stages[0]
    return None if place < share else Wait(why=f"the rollout is at {100 * share:g}% of the machines")


def window_wait(rollout: Rollout, own: Iterable[Window], place: float, now: datetime, since: datetime) -> Wait | None:
    """Return the wait that windows and splay impose on the machine at ``place``, if any.

    A window of the release and one of the machine's ``own`` must be open, where there are any. The splay begins when
    the windows open, or at ``since``, the time when the machine first could take the release, if that is later.
    """
    sets = [tuple(windows) for windows in (rollout.windows, own) if windows]
    opening = _next_common_opening(sets, now)
    if opening > now:
        return Wait(why=f"no maintenance window is open before {opening:%a %H:%M}", until=opening)
    begin = max(since, _opened(sets, now))
    start = begin + timedelta(seconds=place * rollout.splay_sec)
    if start > now:
        return Wait(why=f"the splay gives this machine its turn at {start:%H:%M:%S}", until=start)
    return None


def _next_common_opening(sets: Iterable[tuple[Window, ...]], now: datetime) -> datetime:
    """Return the first moment from ``now`` on that lies in a window of each of ``sets``.

    Windows that never meet are not noticed as such; the search ends after 100 steps, with a moment in the future.
    """
    moment = now
    for _ in range(100):
        latest = max((next_opening(windows, moment) for windows in sets), default=moment)
        if latest == moment:
            return moment
        moment = latest
    return moment


def _opened(sets: Iterable[tuple[Window, ...]], now: datetime) -> datetime:
    """Return the moment since which a window of each of ``sets`` has been open."""
    begin = datetime.min.replace(tzinfo=now.tzinfo)
    for windows in sets:
        starts = [start for window in windows if (start := window.began(now)) is not None]
        begin = max(begin, min(starts, default=begin))
    return begin
