"""Rolls back a change of the network that would cut the machine off, even if the agent dies meanwhile.

The change is a trial that the apply itself ends: `watch` notes the peers that are reached before it and starts the
dead-man, `lost` returns a verdict for each peer that the change has cost. A change before which no peer was reached
needs no trial.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from ordain.agent.apply.network.reachability import NetworkPeer, PeerKind, lost_peers, reached_peers
from ordain.agent.apply.trial import TrialRequest, Trials, begin_trial
from ordain.agent.generation import identified
from ordain.agent.model import Generation, Observed, Plan, UnitVerdict
from ordain.agent.plan.changes.network_changes import network_change, touches_network
from ordain.agent.settings import CALLER_HOST, GATEWAY, SOURCE, Settings, read_settings
from ordain.agent.state.store import Store
from ordain.agent.system.dbus.bus import BusError, get
from ordain.agent.system.systemd.systemd1 import Systemd

LOGIN1, LOGIN1_PATH = "org.freedesktop.login1", "/org/freedesktop/login1"
UNITS_SEC = 60
"""The time that placing the files and the network programs may take."""
LAST_ANSWER_SEC = 20
"""Beyond the time that is waited for peers: the last ones that are asked may be silent."""
RESULT = "cut-off"


class ConnectivityGuard:
    """Keeps the machine below ``root`` reachable."""

    def __init__(self, *, systemd: Systemd, root: Path, store: Store, trials: Trials) -> None:
        self._systemd = systemd
        self._root = root
        self._store = store
        self._trials = trials

    def rollback_target(self, old: Generation, new: Generation) -> Generation:
        """Return ``old``; on a machine without a generation that gets a network, an empty one to roll back to."""
        if old.hash or not network_change(old, new):
            return old
        return self._store.save(identified(Generation()))[0]

    async def watch(self, planned: Plan, observed: Observed, number: int, *, caller: int) -> None:
        """Before ``planned`` places generation ``number``: note the peers that are reached, start the dead-man."""
        settings = read_settings(self._root)[0]
        if not touches_network(planned) or not planned.from_hash:
            return
        before = await reached_peers(self._root, [peer async for peer in self._peers(settings, caller)])
        trial = self._trials.pending()
        if trial is not None:
            self._trials.write(replace(trial, peers=before))
        elif before:
            seconds = int(settings.within_sec) + UNITS_SEC
            request = TrialRequest(plan=planned, observed=observed, number=number, seconds=seconds, peers=before)
            await begin_trial(self._systemd, self._trials, request)

    async def lost(self) -> list[UnitVerdict]:
        """Return a verdict for each peer that the change has cost and that does not come back in time."""
        trial = self._trials.pending()
        if trial is None or not trial.peers:
            return []
        within_sec = read_settings(self._root)[0].within_sec
        if trial.automatic:
            self._trials.write(trial.ending_in(within_sec + LAST_ANSWER_SEC))
        return [
            UnitVerdict(
                unit="network",
                ok=False,
                what=f"{peer} is no longer reachable (waited {within_sec:g} s)",
                result=RESULT,
                blamed=True,
            )
            for peer in await lost_peers(self._root, trial.peers, within_sec)
        ]

    async def _peers(self, settings: Settings, caller: int) -> AsyncIterator[NetworkPeer]:
        """Yield the peers that agent.yaml names under ``network: reach``."""
        if SOURCE in settings.reach and settings.source.hosts:
            yield NetworkPeer(kind=PeerKind.SOURCE, hosts=tuple(settings.source.hosts))
        if GATEWAY in settings.reach:
            yield NetworkPeer(kind=PeerKind.GATEWAY)
        if CALLER_HOST in settings.reach and (host := await self._caller_host(caller)):
            yield NetworkPeer(kind=PeerKind.CALLER, hosts=(host,))
        for word in settings.reach:
            if word not in (SOURCE, GATEWAY, CALLER_HOST):
                yield NetworkPeer(kind=PeerKind.SOURCE, hosts=(word,))

    async def _caller_host(self, caller: int) -> str:
        """Return the host from which the session of the process ``caller`` came, "" for none."""
        try:
            path = await self._systemd.bus.call(
                LOGIN1, LOGIN1_PATH, f"{LOGIN1}.Manager", "GetSessionByPID", "u", caller
            )
            return str(await get(self._systemd.bus, LOGIN1, path, f"{LOGIN1}.Session", "RemoteHost"))
        except BusError:
            return ""
