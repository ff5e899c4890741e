"""When one machine may take a new release: stage, window, splay; pure. The semaphore is `slots`.

    head of the channel ─stage▶ ─window▶ ─splay▶ ─slot▶ handed to the agent

Who decides: `ordainctl release rollout` opens stages and stops them, by one key (`RolloutState`); every machine
goes by that key and its own id. Nothing advances unless somebody looks at what machines report, and a machine needs
no word but that one; without the key the first stage is open, and no other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ordain.agent.delivery.release.manifest import Rollout
from ordain.agent.json_codec import from_json
from ordain.agent.model import to_json
from ordain.transforms.document.maintenance_windows import Window, opens


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutState:
    """How far the rollout of release ``number`` is: ``share`` (0 to 1) of the machines may take it.

    None may while ``halted``, which says why. ``opened`` (seconds since 1970) is when the stage was.
    """

    number: int
    share: float
    halted: str = ""
    opened: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Why a machine waits, and until when; None: until it hears something else."""

    why: str
    until: datetime | None = None


def encode_rollout(state: RolloutState) -> bytes:
    """The key's content."""
    return json.dumps(to_json(state)).encode()


def decode_rollout(data: bytes) -> RolloutState:
    """Read the key. Raises ValueError."""
    try:
        return from_json(RolloutState, json.loads(data))
    except (TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no state of a rollout: {error}") from None


def stage_wait(rollout: Rollout, number: int, state: RolloutState | None, place: float) -> Wait | None:
    """Whether the stages hold back the machine at ``place`` from release ``number``; None: they do not."""
    if state is not None and state.number == number and state.halted:
        return Wait(why=f"the rollout is stopped: {state.halted}")
    if not rollout.stages:
        return None
    known = state is not None and state.number == number
    share = state.share if known and state is not None else rollout.stages[0]
    return None if place < share else Wait(why=f"the rollout is at {100 * share:g}% of the machines")


def window_wait(rollout: Rollout, own: Iterable[Window], place: float, now: datetime, since: datetime) -> Wait | None:
    """Whether windows and splay hold a machine back at ``now``.

    It has to be a window of the release and one of the machine's ``own``, where there are any. The splay begins with
    the window, or with ``since``, when it first could take the release, if that was later.
    """
    sets = [tuple(windows) for windows in (rollout.windows, own) if windows]
    opening = _all_open(sets, now)
    if opening > now:
        return Wait(why=f"no maintenance window before {opening:%a %H:%M}", until=opening)
    begun = max(since, _began(sets, now))
    start = begun + timedelta(seconds=place * rollout.splay_sec)
    if start > now:
        return Wait(why=f"its turn within the splay is at {start:%H:%M:%S}", until=start)
    return None


def _all_open(sets: Iterable[tuple[Window, ...]], now: datetime) -> datetime:
    """The next moment, not before ``now``, that lies in a window of every one of ``sets``."""
    at = now
    for _ in range(100):
        latest = max((opens(windows, at) for windows in sets), default=at)
        if latest == at:
            return at
        at = latest
    return at


def _began(sets: Iterable[tuple[Window, ...]], now: datetime) -> datetime:
    """When the windows that are open ``now`` opened, all of them."""
    begun = datetime.min.replace(tzinfo=now.tzinfo)
    for windows in sets:
        starts = [start for each in windows if (start := each.began(now)) is not None]
        begun = max(begun, min(starts, default=begun))
    return begun
