"""Files of the documents, placed by the units that place them at boot too, and checked by who reads them; effect.

The agent itself can write none of them (ordain-agent.service).

    new generation, chosen ─place▶ files, or what is wrong ─check▶ what a service says of them
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path

from ordain.agent.apply import host_settings
from ordain.agent.apply.jobs import act
from ordain.agent.apply.network_reload import Networking
from ordain.agent.apply.verdicts import NOT_LOADED
from ordain.agent.model import Generation, Job, Observed, Plan, UnitVerdict, Verb
from ordain.agent.plan.network_changes import network_change
from ordain.agent.system.systemd1 import Systemd
from ordain.agent.system.transient_units import run
from ordain.generator.files import REPORTS
from ordain.transforms.artifacts import PlacedFile
from ordain.transforms.model import Member

REMOTE = "ordain-files-remote.service"
UNITS = ("ordain-files-early.service", "ordain-users.service", "ordain-files.service")
"""In the order in which PID 1 runs them, as they say themselves."""
NOT_PLACED, CHECK_FAILED = "not-placed", "check-failed"
"""Results of verdicts of this module: no job of the apply was queued."""
CHECK = "ordain-check-{unit}"
SAID = "run/ordain/check"
CHECK_SEC = 60.0


class Files:
    """The files below ``root``, on a machine whose PID 1 is ``systemd``."""

    def __init__(self, systemd: Systemd, root: Path) -> None:
        self._systemd, self._root = systemd, root
        self._networking = Networking(systemd, root)

    async def make_real(self, old: Generation, new: Generation, plan: Plan, *, back: bool) -> list[UnitVerdict]:
        """Place the files of ``plan``, have those of the network read and, but on the way ``back``, the others checked.

        What is wrong with them.
        """
        if not plan.files:
            return []
        mounts = [job for job in plan.jobs if job.verb is Verb.START and job.unit.endswith(".mount")]
        await act(self._systemd, mounts, Observed())  # they may be what files are to lie on
        wrong = await self.place(remote=_has_remote(old) or _has_remote(new))
        await host_settings.tell(self._systemd, old, new)
        if change := network_change(old, new):
            wrong += await self._networking.change(change)
        return wrong if wrong or back else await self.check(new, plan)

    async def place(self, *, remote: bool) -> list[UnitVerdict]:
        """Place the files of the generation that the generator has chosen; a verdict for each that cannot be.

        One that could not be placed before either is no fault of this apply.
        """
        before = self._problems()
        jobs = [Job(unit=unit, verb=Verb.RESTART, reason="files changed") for unit in (*UNITS, *(REMOTE,) * remote)]
        done = await act(self._systemd, jobs, Observed())
        problems = self._problems()
        found = [_misplaced(path, what, path not in before) for path, what in sorted(problems.items())]
        for each in done:
            if each.result != "done" and not problems:
                what = each.refused or f"{each.result or 'was lost'} (journalctl -u {each.job.unit} tells more)"
                found.append(_misplaced(each.job.unit, what, True))
        return found

    async def check(self, new: Generation, plan: Plan) -> list[UnitVerdict]:
        """Have each service look at its files before it hears of them; a verdict for each that finds fault.

        Asked are those that get a job, and those whose files change: the next start of theirs is nobody's to check.
        """
        asked = {job.unit for job in plan.jobs} | {change.unit for change in plan.changes if change.key[:1] == "/"}
        members = [member for member in new.members if member.check and member.unit in asked]
        states = await self._systemd.list_units(member.unit for member in members)
        there = [member for member in members if states[member.unit].load_state == "loaded"]
        verdicts = [await self._check(member) for member in there]
        return [verdict for verdict in verdicts if not verdict.ok]

    async def _check(self, member: Member) -> UnitVerdict:
        wrong = await run(
            self._systemd,
            CHECK.format(unit=member.unit),
            f"Check of the Files of {member.unit}",
            member.check,
            said=self._root / SAID / member.unit,
            seconds=CHECK_SEC,
        )
        return (
            _unchecked(member, wrong) if wrong else UnitVerdict(unit=member.unit, ok=True, what="finds its files good")
        )

    def _problems(self) -> dict[str, str]:
        """What the last runs could not place, by path."""
        found: dict[str, str] = {}
        for path in REPORTS.values():
            try:
                found |= json.loads((self._root / path).read_bytes())["problems"]
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return found


def unheard(verdicts: Iterable[UnitVerdict]) -> bool:
    """Whether an apply came to an end before any unit heard of what is new."""
    return any(verdict.result in (NOT_PLACED, CHECK_FAILED, NOT_LOADED) and verdict.blamed for verdict in verdicts)


def without(plan_jobs: Iterable[Job], units: Collection[str]) -> tuple[Job, ...]:
    """The jobs but those of ``units``."""
    return tuple(job for job in plan_jobs if job.unit not in units)


def _has_remote(generation: Generation) -> bool:
    return any(isinstance(artifact, PlacedFile) and artifact.remote for artifact in generation.artifacts)


def _misplaced(path: str, what: str, blamed: bool) -> UnitVerdict:
    return UnitVerdict(unit=path, ok=False, what=f"is not placed: {what}", result=NOT_PLACED, blamed=blamed)


def _unchecked(member: Member, said: str) -> UnitVerdict:
    what = f"finds fault with its files: {said}"
    return UnitVerdict(unit=member.unit, ok=False, what=what, result=CHECK_FAILED, blamed=True)
