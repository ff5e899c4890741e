"""A trial: a generation that is rolled back unless it is confirmed in time, whatever becomes of the agent.

    root/run/ordain/trial            pending: the generation to roll back to, and the deadline
    root/run/ordain/trial.confirmed  the generation stays
    root/run/ordain/trial.expired    the generation is rolled back

A trial ends by a rename, which succeeds only once: either for whoever confirms, or for the dead-man (`deadman`), a
service of PID 1 that looks at the file until the deadline has passed. All of it is on a tmpfs, and so is the generation
on trial: after a power cut, the machine boots the proven generation.
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
from typing import Any

from ordain.agent.apply.jobs.jobs import timeout_sec
from ordain.agent.apply.jobs.verdicts import baseline
from ordain.agent.apply.network.reachability import HostAnswer, NetworkPeer, PeerKind
from ordain.agent.errors import Failure
from ordain.agent.json_codec import from_json
from ordain.agent.local_time import local_time
from ordain.agent.model import Observed, Plan, Verb, to_json
from ordain.agent.state.decisions import DecisionState
from ordain.agent.system import atomic_files
from ordain.agent.system.dbus.bus import Variant
from ordain.agent.system.systemd.systemd1 import LOST, Systemd

PATH = "run/ordain/trial"
AGENT = "ordain-agent.service"
DEADMAN = "ordain-deadman.service"
START_SEC = 30.0
"""The dead-man has this long to start."""
MARGIN_SEC = 1.0
"""A trial that ends sooner than this is left to the dead-man."""
LONGEST_SEC = 86400
ROLLED_BY_ADMINISTRATOR = "rolled back by an administrator"
"""The token of a trial that the dead-man must leave alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A generation on trial.

    ``number`` and ``hash`` are of the generation on trial, ``rollback_to`` is the hash of the one before. It lasts
    ``seconds``, until ``until`` on the clock of this boot (`now_sec`); ``until_text`` is the same as local time.
    ``running`` and ``failing`` are the units that ran, and that had failed, before the apply. ``agent_ran``: the agent
    ran, and is to run again after a rollback. ``decided`` is recorded once the trial is confirmed. An ``automatic``
    trial is confirmed by the apply itself, once it has reached all ``peers`` again (`connectivity_guard`).
    """

    token: str
    number: int
    hash: str
    rollback_to: str
    seconds: int
    until: float = 0.0
    until_text: str = ""
    running: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    agent_ran: bool = False
    decided: DecisionState = field(default_factory=DecisionState)
    automatic: bool = False
    peers: tuple[NetworkPeer, ...] = ()

    @property
    def left_sec(self) -> float:
        """Return the seconds that are left; negative after the deadline."""
        return self.until - now_sec()

    def ending_in(self, seconds: float) -> Trial:
        """Return the trial with its deadline ``seconds`` from now."""
        until_text = local_time(datetime.now(UTC) + timedelta(seconds=seconds))
        return replace(self, until=now_sec() + seconds, until_text=until_text)


_KEYS = {
    "rollback_to": "back",
    "until_text": "by",
    "agent_ran": "agent",
    "decided": "stand",
    "automatic": "by_itself",
    "peers": "reach",
}
"""Fields that have another key in the file. An agent that was just upgraded reads the trial of the one before."""


def now_sec() -> float:
    """Return the seconds since the boot; this clock goes on while the machine is suspended, and nobody can set it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Trials:
    """The files of the trial below ``root``."""

    def __init__(self, root: Path) -> None:
        self._path = root / PATH
        self._confirmed = root / f"{PATH}.confirmed"
        self._expired = root / f"{PATH}.expired"

    def pending(self) -> Trial | None:
        """Return the trial that waits to be confirmed."""
        return _read(self._path)

    def confirmed(self) -> Trial | None:
        """Return the trial that was confirmed, until that is recorded."""
        return _read(self._confirmed)

    def expired(self) -> Trial | None:
        """Return the trial that is to be rolled back, until that is done."""
        return _read(self._expired)

    def write(self, trial: Trial) -> None:
        """Start a trial, or change the pending one."""
        atomic_files.make_folder(self._path.parent)
        atomic_files.replace(self._path, json.dumps(_encode(trial)).encode())

    def confirm(self) -> Trial:
        """End the pending trial: the generation stays. Raises `Failure` if there is none, or it is too late."""
        trial = self.pending()
        if trial is None:
            raise Failure("too late: it is being rolled back" if self.expired() else "there is no trial to confirm")
        if trial.left_sec <= 0:
            raise Failure("too late: it is being rolled back")
        return self._end(self._confirmed, trial)

    def expire(self, trial: Trial) -> Trial:
        """End exactly this trial: it is to be rolled back. Raises `Failure` if it has ended, or is another one."""
        pending = self.pending()
        if pending is None or pending.token != trial.token:
            raise Failure("the trial has ended")
        return self._end(self._expired, trial)

    def require_none(self) -> None:
        """Raise `Failure` while a trial is pending."""
        trial = self.pending()
        if trial is not None:
            raise Failure(
                f"generation {trial.number} is on trial until {trial.until_text}:"
                " use `ordainctl confirm` or `ordainctl rollback` first"
            )

    def take_from_deadman(self, trial: Trial) -> Trial:
        """End the trial for an administrator who rolls it back. Raises `Failure` if the dead-man is about to do so."""
        if trial.left_sec < MARGIN_SEC:
            raise Failure("the trial has ended: it is being rolled back")
        mine = replace(trial, token=ROLLED_BY_ADMINISTRATOR)
        self.write(mine)
        return self.expire(mine)

    @contextlib.contextmanager
    def confirming_automatic(self) -> Iterator[None]:
        """Confirm an automatic trial before the block, and forget it after; do nothing for another trial or none.

        Raises `Failure` if it is too late to confirm it.
        """
        trial = self.pending()
        if trial is None or not trial.automatic:
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
        """Forget the trial: everything that its end required is done."""
        for path in (self._path, self._confirmed, self._expired):
            path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRequest:
    """The trial of generation ``number``, which ``plan`` is about to place on a machine as ``observed``.

    It lasts ``seconds`` once the jobs of the plan have ended; ``decided`` is recorded when it is confirmed. With
    ``peers``, the apply confirms it itself.
    """

    plan: Plan
    observed: Observed
    number: int
    seconds: int
    decided: DecisionState = field(default_factory=DecisionState)
    peers: tuple[NetworkPeer, ...] = ()


async def begin_trial(systemd: Systemd, trials: Trials, request: TrialRequest) -> None:
    """Begin a trial, before the first effect of its plan. Raises `Failure`.

    The deadline leaves the jobs their time; the time to confirm it starts when they have ended (`Trial.ending_in`).
    """
    planned = request.plan
    if not 0 < request.seconds <= LONGEST_SEC:
        raise Failure(f"--confirm: {request.seconds} is out of range; use 1 to {LONGEST_SEC} seconds")
    if not planned.from_hash:
        raise Failure("there is no generation to roll back to; apply without --confirm")
    before = await baseline(systemd, request.observed)
    trial = Trial(
        token=uuid.uuid4().hex,
        number=request.number,
        hash=planned.to_hash,
        rollback_to=planned.from_hash,
        seconds=request.seconds,
        running=tuple(sorted(before.running)),
        failing=tuple(sorted(before.failing)),
        agent_ran=await _runs(systemd, AGENT),
        decided=request.decided,
        automatic=bool(request.peers),
        peers=request.peers,
    )
    jobs_sec = timeout_sec((*planned.stops, *planned.jobs), request.observed)
    await watch_with_deadman(systemd, trials, trial.ending_in(request.seconds + jobs_sec))


async def watch_with_deadman(systemd: Systemd, trials: Trials, trial: Trial) -> None:
    """Write the trial and start the dead-man; return when it watches. Raises `Failure`."""
    trials.write(trial)
    properties = {
        "Description": Variant("s", f"Roll Back Generation {trial.number} Unless It Is Confirmed"),
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
        if await deadman_runs(systemd):  # it watches an earlier trial, and has not noticed yet that this one ended
            await systemd.wait(await systemd.queue(Verb.STOP, DEADMAN), START_SEC)
        result = await systemd.wait(await systemd.queue_transient(DEADMAN, properties), START_SEC)
        if result != "done" and not (result == LOST and await deadman_runs(systemd)):
            raise Failure(f"{DEADMAN} could not be started ({result or 'lost'}); nothing was changed")
    except Failure:
        trials.clear()
        raise


async def deadman_runs(systemd: Systemd) -> bool:
    """Return whether the dead-man runs."""
    return await _runs(systemd, DEADMAN)


async def _runs(systemd: Systemd, unit: str) -> bool:
    return (await systemd.list_units([unit]))[unit].running


def _encode(trial: Trial) -> dict[str, Any]:
    data = {_KEYS.get(name, name): value for name, value in to_json(trial).items()}
    answers = (f"{peer} {HostAnswer.ANSWERS if peer.answers else HostAnswer.SILENT}" for peer in trial.peers)
    return {**data, _KEYS["peers"]: list(answers)}


def _read(path: Path) -> Trial | None:
    try:
        data = json.loads(atomic_files.read(path))
        fields = {name: data[key] for name, key in _KEYS.items() if key in data}
        fields["peers"] = [to_json(_decode_peer(text)) for text in data.get(_KEYS["peers"], ())]
        return from_json(Trial, {**data, **fields})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _decode_peer(text: str) -> NetworkPeer:
    """Return the peer of a line such as ``source a:1,b:2 answers``, ``gateway silent``."""
    kind, *hosts, answer = text.split(" ")
    return NetworkPeer(
        kind=PeerKind(kind), hosts=tuple(hosts[0].split(",")) if hosts else (), answers=answer == "answers"
    )
