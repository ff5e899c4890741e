"""A generation that goes back unless it is confirmed in time, whatever becomes of the agent; effect.

    root/run/ordain/trial            under way: what to go back to, and until when
    root/run/ordain/trial.confirmed  it stays
    root/run/ordain/trial.expired    it goes back

A trial ends by a rename, which only one can do: whoever confirms, or the dead-man (`deadman`), a service of PID 1's
that looks at the file until its time is over. All of it is on a tmpfs, and the generation in /run only: a power cut
boots the proven one.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ordain.agent.apply.evaluate import baseline
from ordain.agent.apply.jobs import patience
from ordain.agent.errors import Failure
from ordain.agent.json_codec import from_json
from ordain.agent.model import Observed, Plan, Verb, to_json
from ordain.agent.state.decisions import Decided
from ordain.agent.system import atomic_files
from ordain.agent.system.bus import Variant
from ordain.agent.system.systemd1 import Systemd

PATH = "run/ordain/trial"
AGENT = "ordain-agent.service"
DEADMAN = "ordain-deadman.service"
ARM_SEC = 30.0
MARGIN_SEC = 1.0
"""So near its end a trial is the dead-man's."""
LONGEST_SEC = 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """``number``, ``hash``: on trial. ``back``: the hash to go back to. ``until``: seconds of the boot's clock,
    ``by``: the same for people.

    ``running`` and ``failing`` are the baseline before it. ``agent``: whether the agent ran, and is to run again.
    ``stand``: what is decided of the source once it is confirmed. ``by_itself``: what applies it ends it too,
    once it knows that ``reach`` still holds (`reachability`).
    """

    token: str
    number: int
    hash: str
    back: str
    seconds: int
    until: float = 0.0
    by: str = ""
    running: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    agent: bool = False
    stand: Decided = field(default_factory=Decided)
    by_itself: bool = False
    reach: tuple[str, ...] = ()

    @property
    def left_sec(self) -> float:
        """Seconds that are left."""
        return self.until - now_sec()


def now_sec() -> float:
    """The clock of this boot, which goes on in suspend and takes no leaps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Trials:
    """The files below ``root``."""

    def __init__(self, root: Path) -> None:
        self._path = root / PATH
        self._confirmed = root / f"{PATH}.confirmed"
        self._expired = root / f"{PATH}.expired"

    def under_way(self) -> Trial | None:
        """The trial that waits for its end."""
        return _read(self._path)

    def confirmed(self) -> Trial | None:
        """The trial that is to stay, while that is being done."""
        return _read(self._confirmed)

    def expired(self) -> Trial | None:
        """The trial that is to go back, while that is being done."""
        return _read(self._expired)

    def write(self, trial: Trial) -> None:
        """Begin a trial, or give it another end."""
        atomic_files.make_folder(self._path.parent)
        atomic_files.replace(self._path, json.dumps(to_json(trial)).encode())

    def confirm(self) -> Trial:
        """End the trial: it stays. Raises `Failure` if there is none, or it is too late."""
        trial = self.under_way()
        if trial is None:
            raise Failure("too late: it is going back" if self.expired() else "there is no trial to confirm")
        if trial.left_sec <= 0:
            raise Failure("too late: it is going back")
        return self._end(self._confirmed, trial)

    def expire(self, trial: Trial) -> Trial:
        """End this very trial: it goes back. Raises `Failure` if it was confirmed, or is another one."""
        found = self.under_way()
        if found is None or found.token != trial.token:
            raise Failure("the trial has ended")
        return self._end(self._expired, trial)

    def refuse(self) -> None:
        """Raises `Failure` while a trial waits for its end."""
        trial = self.under_way()
        if trial is not None:
            raise Failure(
                f"generation {trial.number} is on trial until {trial.by}: `ordainctl confirm` or `ordainctl rollback`"
            )

    def take_back(self, trial: Trial) -> Trial:
        """End the trial by hand: it goes back, and the dead-man has no part in it. Raises `Failure`."""
        if trial.left_sec < MARGIN_SEC:
            raise Failure("it is going back by itself")
        mine = replace(trial, token="by hand")
        self.write(mine)
        return self.expire(mine)

    @contextlib.contextmanager
    def ended_by_itself(self) -> Iterator[None]:
        """Within it, what is on trial stays, if nobody is asked whether it may. Raises `Failure` if it is too late."""
        trial = self.under_way()
        if trial is None or not trial.by_itself:
            yield
            return
        self.confirm()
        yield
        self.clear()

    def _end(self, place: Path, trial: Trial) -> Trial:
        try:
            self._path.rename(place)
        except FileNotFoundError:
            raise Failure("the trial has ended") from None
        return trial

    def clear(self) -> None:
        """What was to be done at the end of a trial is done."""
        for path in (self._path, self._confirmed, self._expired):
            path.unlink(missing_ok=True)


async def begin(
    systemd: Systemd,
    trials: Trials,
    planned: Plan,
    observed: Observed,
    *,
    number: int,
    seconds: int,
    stand: Decided | None = None,
    reach: tuple[str, ...] = (),
) -> None:
    """Begin the trial of generation ``number``, before the first effect of ``planned``. Raises `Failure`.

    The units may take their time; what is left to confirm begins when they are done (`lasting`). With ``reach``,
    whoever applies it ends it.
    """
    if not 0 < seconds <= LONGEST_SEC:
        raise Failure(f"--confirm takes 1 to {LONGEST_SEC} seconds")
    if not planned.from_hash:
        raise Failure("there is nothing to go back to; apply without --confirm")
    before = await baseline(systemd, observed)
    trial = Trial(
        token=uuid.uuid4().hex,
        number=number,
        hash=planned.to_hash,
        back=planned.from_hash,
        seconds=seconds,
        running=tuple(sorted(before.running)),
        failing=tuple(sorted(before.failing)),
        agent=await _runs(systemd, AGENT),
        stand=stand or Decided(),
        by_itself=bool(reach),
        reach=reach,
    )
    await arm(systemd, trials, lasting(trial, seconds + patience((*planned.stops, *planned.jobs), observed)))


async def arm(systemd: Systemd, trials: Trials, trial: Trial) -> None:
    """Begin a trial; returns when the dead-man watches it. Raises `Failure`."""
    trials.write(trial)
    properties = {
        "Description": Variant("s", f"Go Back from Generation {trial.number} Unless It Is Confirmed"),
        "Type": Variant("s", "notify"),
        "ExecStart": Variant(
            "a(sasb)", [(sys.executable, [sys.executable, "-Im", "ordain.agent.apply.deadman", trial.token], False)]
        ),
        "Restart": Variant("s", "on-failure"),
        "RestartUSec": Variant("t", 1_000_000),
        "CollectMode": Variant("s", "inactive-or-failed"),
        "IgnoreOnIsolate": Variant("b", True),
        "OOMScoreAdjust": Variant("i", -900),
        "Environment": Variant("as", ["LC_ALL=C.UTF-8", "PYTHONUNBUFFERED=1"]),
    }
    try:
        if await armed(systemd):  # of a trial before, which it is about to notice
            await systemd.wait(await systemd.queue(Verb.STOP, DEADMAN), ARM_SEC)
        result = await systemd.wait(await systemd.queue_transient(DEADMAN, properties), ARM_SEC)
        if result != "done":
            raise Failure(f"{DEADMAN} could not be started ({result or 'lost'}); nothing was changed")
    except Failure:
        trials.clear()
        raise


async def armed(systemd: Systemd) -> bool:
    """Whether the dead-man is there."""
    return await _runs(systemd, DEADMAN)


async def _runs(systemd: Systemd, unit: str) -> bool:
    return (await systemd.list_units([unit]))[unit].running


def lasting(trial: Trial, seconds: float) -> Trial:
    """The trial with its end so far from now."""
    by = (datetime.now(UTC) + timedelta(seconds=seconds)).astimezone().strftime("%H:%M:%S")
    return replace(trial, until=now_sec() + seconds, by=by)


def _read(path: Path) -> Trial | None:
    try:
        return from_json(Trial, json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, AttributeError):
        return None
