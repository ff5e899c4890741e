"""Checks that the generator has placed a generation and that PID 1 reads it, and repairs what can be repaired.

after every reload, by whomever:  missing files ──▶ run the generator again
                                  placed again ──▶ start what ran before they were missing, and is down now
                                  files of an administrator in place of ours ──▶ condition
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from ordain.agent.apply.deviations.administrator_overrides import BEFORE_OURS
from ordain.agent.apply.jobs.jobs import run_jobs
from ordain.agent.apply.observe import look
from ordain.agent.condition import StatusCondition
from ordain.agent.model import Generation, Job, UnitState, UnitVerdict, Verb
from ordain.agent.plan.explain import DIRECTORIES as PLACES
from ordain.agent.state.boot_record import boot_id
from ordain.agent.state.holds import with_machine_holds
from ordain.agent.state.running_record import (
    read_running_record,
    remove_running_record,
    write_running_record,
)
from ordain.agent.state.store import Store
from ordain.agent.system.apply_lock import locked
from ordain.agent.system.systemd.systemd1 import Systemd
from ordain.transforms.artifacts import PlacedFile, UnitFile, UnitLink
from ordain.transforms.machine import rootfs
from ordain.transforms.model import Wanted
from ordain.transforms.systemd.unit_name import is_template, template_of

log = logging.getLogger(__name__)
DIRECTORIES = {kind.rstrip("/"): path.strip("/") for path, kind in PLACES.items()}
"""The directories of the generator below the root, by the first part of an artifact's path."""
SLOW_SEC = 5.0
"""A reload of the manager that takes longer is reported."""
LOCK_SEC = 60.0
"""A repair waits this long until an apply has ended."""
OVERRIDDEN = "Overridden"
"""The code of a condition about a unit of which PID 1 reads another file than ours; its ``item`` is the unit."""
REMOVE = "remove that file and run `systemctl daemon-reload`, or remove the entry; a transient unit ends by itself"
READ_FROM = frozenset({"fragment_path", "drop_in_paths"})
"""The properties that tell which files PID 1 has read."""


class GeneratorRepair:
    """Watches over the generator's directories of one machine.

    ``overridden``: the units of which PID 1 reads another file than ours.
    """

    def __init__(self, *, systemd: Systemd, root: Path, store: Store) -> None:
        self._systemd = systemd
        self._root = root
        self._store = store
        self._absent: tuple[str, ...] = ()
        self._dropped: tuple[str, ...] = ()
        self._running: frozenset[str] = frozenset()
        self._reload_sec = 0.0
        self.overridden: tuple[StatusCondition, ...] = ()

    @property
    def conditions(self) -> tuple[StatusCondition, ...]:
        """Return the conditions about files that are missing or overridden, and about a slow reload."""
        conditions = []
        if self._absent:
            shown = ", ".join(self._absent[:3]) + " …" * (len(self._absent) > 3)
            what = f"the generator did not place {shown}; the running units have lost their definitions"
            what += f", and {', '.join(self._dropped)} ended" if self._dropped else ""
            hint = "see `ordainctl doctor`; once a reload places them again, what has ended is started"
            conditions.append(StatusCondition(code="NotPlaced", what=what, hint=hint, fault=True))
        if self._reload_sec > SLOW_SEC:
            what = f"a reload of the manager took {self._reload_sec:.0f} s, in which PID 1 did nothing else"
            hint = "all generators run in it (systemd.generator(7)); is one of another package slow?"
            conditions.append(StatusCondition(code="SlowReload", what=what, hint=hint))
        return (*conditions, *self.overridden)

    async def read(self, generation: Generation) -> list[UnitVerdict]:
        """Have PID 1 read the generation that is placed now; return a verdict for each file that was not placed.

        This is the one reload of an apply, if no other generator makes units from files of the documents. If our
        generator leaves a file out, it runs a second time.
        """
        began = time.monotonic()
        await self._systemd.reload()
        self._reload_sec = time.monotonic() - began
        wanted = with_machine_holds(self._root, generation)
        absent = missing(wanted, self._root)
        if absent:
            await self._systemd.reload()
            absent = missing(wanted, self._root)
        return [
            UnitVerdict(unit=path.rpartition("/")[2], ok=False, what=f"{path} was not placed by the generator")
            for path in absent
        ]

    def reloading(self, running: Collection[str]) -> None:
        """Note which members run as a reload begins: it may be the one in which the generator fails."""
        self._running = frozenset(running)

    async def heal(self) -> bool:
        """After a reload by anyone: have the generator run again if it left a file out; return whether it did.

        PID 1 drops a timer that loses its unit for good, and a socket or path that is triggered meanwhile
        (docs/design/systemd.md, fact 13). The units that ran before are started again as soon as everything is placed.
        """
        async with locked(self._root, LOCK_SEC):
            wanted = with_machine_holds(self._root, self._last_applied())
            absent = missing(wanted, self._root)
            if absent:
                # It may be a reload that has only begun: PID 1 empties the directories first.
                await self._systemd.reloaded()
                absent = missing(wanted, self._root)
            if absent and read_running_record(self._root) is None:
                write_running_record(self._root, self._running)
            # Our own reload is reported to us, too. A file that it did not bring back, no further reload does.
            again = absent not in ((), self._absent)
            if again:
                self._store.commit_trial(wanted, boot_id(self._root))
                await self._systemd.reload()
                absent = missing(wanted, self._root)
            self._absent = absent
            await self._restore(wanted)
            await self.look_for_others(wanted)
            return again

    async def _restore(self, wanted: Generation) -> None:
        """Start the members that ran before the generator failed, once it has placed everything again."""
        before = read_running_record(self._root)
        if before is None:
            return
        members = [m for m in wanted.members if m.unit in before and m.wanted is not Wanted.STOPPED]
        observed = await look(self._systemd, [member.unit for member in members])
        down = [member for member in members if not observed.unit(member.unit).running]
        self._dropped = tuple(member.unit for member in down)
        if self._absent:
            return
        reason = "ended while the generator did not place it"
        jobs = [Job(unit=m.unit, verb=Verb.START, reason=reason, item=m.item) for m in down]
        if jobs:
            log.warning("started again, because the generator works again: %s", ", ".join(self._dropped))
            await run_jobs(self._systemd, jobs, observed)
        remove_running_record(self._root)
        self._dropped = ()

    def _last_applied(self) -> Generation:
        """Return the generation that this boot applied last by our own record.

        `Store.applied` would not do: it reads the record of the generator, whose run may be the one that failed.
        """
        applied = self._store.read_applied()
        try:
            return self._store.load_hash(applied.hash) if applied else self._store.applied()
        except KeyError:
            return self._store.applied()

    async def look_for_others(self, generation: Generation) -> None:
        """Update ``overridden``: only units that have a file in a directory before ours need to be asked about."""
        others = {name.removesuffix(".d") for directory in BEFORE_OURS for name in rootfs.names(self._root, directory)}
        units = {_unit_of(a.path) for a in generation.artifacts if isinstance(a, UnitFile)}
        units = {unit for unit in units if {unit, template_of(unit)} & others and not is_template(unit)}
        states = await self._systemd.inspect(units, READ_FROM)
        self.overridden = tuple(
            StatusCondition(code=OVERRIDDEN, what=f"{unit}: {what}", hint=REMOVE, item=unit, fault=True)
            for unit, what in overridden(generation, states)
        )


def _unit_of(path: str) -> str:
    """Return the unit of an artifact: ``normal/web.service.d/00-ordain.conf`` → ``web.service``."""
    return path.split("/")[1].removesuffix(".d")


def missing(generation: Generation, root: Path) -> tuple[str, ...]:
    """Return the paths of the artifacts that are missing in the generator's directories, or differ there."""
    return tuple(_missing(generation, root))


def _missing(generation: Generation, root: Path) -> Iterator[str]:
    placed = {directory: os.fspath(root / path) for directory, path in DIRECTORIES.items()}
    for artifact in generation.artifacts:
        if isinstance(artifact, PlacedFile):
            continue
        directory, _, name = artifact.path.partition("/")
        path = f"{placed[directory]}/{name}"
        try:  # without pathlib, which takes three times as long: there are thousands of files after every reload
            if isinstance(artifact, UnitLink):
                same = os.readlink(path) == artifact.target  # noqa: PTH115
            else:
                with open(path, "rb") as file:  # noqa: PTH123
                    same = file.read() == artifact.content.encode()
        except OSError:
            same = False
        if not same:
            yield artifact.path


def overridden(generation: Generation, units: Mapping[str, UnitState]) -> Iterator[tuple[str, str]]:
    """Yield each unit for which PID 1 has read another file than ours, and the reason.

    ``units`` need ``load_state``, ``fragment_path`` and ``drop_in_paths``. A masked unit is left out, since the plan
    reports it, and so is a template, since it has no state.
    """
    for artifact in generation.artifacts:
        directory, _, name = artifact.path.partition("/")
        folder, _, file = name.partition("/")
        unit = folder.removesuffix(".d") if file else name
        state = units.get(unit)
        if not isinstance(artifact, UnitFile) or state is None or state.load_state != "loaded":
            continue
        path = f"/{DIRECTORIES[directory]}/{name}"
        if file and path not in state.drop_in_paths:
            yield unit, f"another drop-in with the name {file} replaces ours"
        elif not file and state.fragment_path != path:
            yield unit, f"{state.fragment_path} replaces our unit file"
