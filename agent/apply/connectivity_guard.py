"""A change of the network that would cut the machine off is gone back from, whatever becomes of the agent; effect.

It is a trial that ends by itself: `watch` notes who is reached before it and has the dead-man wait, `lost` says whom it
has cost. What nobody was reached over before needs no trial.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from ordain.agent.apply.protected_units import CALLER
from ordain.agent.apply.reachability import lost, reached
from ordain.agent.apply.trial import Trials, begin, lasting
from ordain.agent.generation import digest
from ordain.agent.model import Generation, Observed, Plan, Verdict
from ordain.agent.plan.network_changes import network_change, touches_network
from ordain.agent.settings import CALLER_HOST, GATEWAY, SOURCE, Settings, read_settings
from ordain.agent.state.store import Store
from ordain.agent.system.bus import BusError, get
from ordain.agent.system.systemd1 import Systemd

LOGIN1, LOGIN1_PATH = "org.freedesktop.login1", "/org/freedesktop/login1"
UNITS_SEC = 60
"""How long files may take to be placed, and the programs of the network to do their work."""
ASKED_SEC = 20
"""Beyond what is waited for an answer: the last who are asked may be silent."""
RESULT = "cut-off"


class Cutoff:
    """What keeps the machine below ``root`` reachable."""

    def __init__(self, systemd: Systemd, root: Path, trials: Trials) -> None:
        self._systemd, self._root, self._trials = systemd, root, trials

    def ground(self, store: Store, old: Generation, new: Generation) -> Generation:
        """``old``, or on a machine that had no generation yet one of nothing: something to go back to."""
        if old.hash or not network_change(old, new):
            return old
        return store.save(Generation(hash=digest({}, (), ())))[0]

    async def watch(self, planned: Plan, observed: Observed, number: int) -> None:
        """Before ``planned`` makes generation ``number`` real: note who is reached, and arm the dead-man."""
        settings = read_settings(self._root)[0]
        if not touches_network(planned) or not planned.from_hash:
            return
        before = await reached(self._root, [word async for word in self._words(settings)])
        trial = self._trials.under_way()
        if trial is not None:
            self._trials.write(replace(trial, reach=before))
        elif before:
            seconds = int(settings.within_sec) + UNITS_SEC
            await begin(self._systemd, self._trials, planned, observed, number=number, seconds=seconds, reach=before)

    async def lost(self) -> list[Verdict]:
        """A verdict for each that the change under way has cost, unless it comes back in time."""
        trial = self._trials.under_way()
        if trial is None or not trial.reach:
            return []
        within = read_settings(self._root)[0].within_sec
        if trial.by_itself:
            self._trials.write(lasting(trial, within + ASKED_SEC))
        missing = await lost(self._root, trial.reach, within)
        what = f"{{}} is not reached any more, not within {within:g} s"
        return [
            Verdict(unit="network", ok=False, what=what.format(word), result=RESULT, blamed=True) for word in missing
        ]

    async def _words(self, settings: Settings) -> AsyncIterator[str]:
        if SOURCE in settings.reach and settings.source.hosts:
            yield f"source {','.join(settings.source.hosts)}"
        if GATEWAY in settings.reach:
            yield "gateway"
        if CALLER_HOST in settings.reach and (host := await self._caller()):
            yield f"caller {host}"
        for word in settings.reach:
            if word not in (SOURCE, GATEWAY, CALLER_HOST):
                yield f"source {word}"

    async def _caller(self) -> str:
        """The host that the caller's session comes from, "" for none."""
        try:
            path = await self._systemd.bus.call(
                LOGIN1, LOGIN1_PATH, f"{LOGIN1}.Manager", "GetSessionByPID", "u", CALLER.get()
            )
            return str(await get(self._systemd.bus, LOGIN1, path, f"{LOGIN1}.Session", "RemoteHost"))
        except BusError:
            return ""
