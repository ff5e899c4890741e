"""Files of the documents, placed by the units that place them at boot too, and checked by who reads them; effect.

The agent itself can write none of them (ordain-agent.service).

    new generation, chosen ─place▶ files, or what is wrong ─check▶ what a service says of them
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path

from ordain.agent.act import act
from ordain.agent.bus import BusError, Variant
from ordain.agent.model import Generation, Job, Observed, Plan, Verb, Verdict
from ordain.agent.systemd1 import Systemd
from ordain.generator.files import REPORTS
from ordain.transforms.model import Member

UNITS = ("ordain-files-early.service", "ordain-users.service", "ordain-files.service")
"""In the order in which PID 1 runs them, as they say themselves."""
NOT_PLACED, CHECK_FAILED = "not-placed", "check-failed"
"""Results of verdicts of this module: no job of the apply was queued."""
CHECK = "ordain-check-{unit}"
SAID = "run/ordain/check"
CHECK_SEC = 60.0
LINES = 3


class Files:
    """The files below ``root``, on a machine whose PID 1 is ``systemd``."""

    def __init__(self, systemd: Systemd, root: Path) -> None:
        self._systemd, self._root = systemd, root

    async def place(self) -> list[Verdict]:
        """Place the files of the generation that the generator has chosen; a verdict for each that cannot be.

        One that could not be placed before either is no fault of this apply.
        """
        before = self._problems()
        jobs = [Job(unit=unit, verb=Verb.RESTART, reason="files changed") for unit in UNITS]
        done = await act(self._systemd, jobs, Observed())
        problems = self._problems()
        found = [_misplaced(path, what, path not in before) for path, what in sorted(problems.items())]
        for each in done:
            if each.result != "done" and not problems:
                what = each.refused or f"{each.result or 'was lost'} (journalctl -u {each.job.unit} tells more)"
                found.append(_misplaced(each.job.unit, what, True))
        return found

    async def check(self, new: Generation, plan: Plan) -> list[Verdict]:
        """Have each service look at its files before it hears of them; a verdict for each that finds fault.

        Asked are those that get a job, and those whose files change: the next start of theirs is nobody's to check.
        """
        asked = {job.unit for job in plan.jobs} | {change.unit for change in plan.changes if change.key[:1] == "/"}
        members = [member for member in new.members if member.check and member.unit in asked]
        states = await self._systemd.list_units(member.unit for member in members)
        there = [member for member in members if states[member.unit].load_state == "loaded"]
        verdicts = [await self._check(member) for member in there]
        return [verdict for verdict in verdicts if not verdict.ok]

    async def _check(self, member: Member) -> Verdict:
        said = self._root / SAID / member.unit
        said.parent.mkdir(parents=True, exist_ok=True)
        properties = {
            "Description": Variant("s", f"Check of the Files of {member.unit}"),
            "Type": Variant("s", "oneshot"),
            "CollectMode": Variant("s", "inactive-or-failed"),
            "ExecStart": Variant("a(sasb)", [(argv[0], list(argv), False) for argv in member.check]),
            "TimeoutStartUSec": Variant("t", int(CHECK_SEC * 1e6)),
            "StandardOutputFileToTruncate": Variant("s", str(said)),
            "StandardErrorFileToAppend": Variant("s", str(said)),
        }
        try:
            job = await self._systemd.queue_transient(CHECK.format(unit=member.unit), properties)
            result = await self._systemd.wait(job, CHECK_SEC + 1)
        except BusError as error:
            return _unchecked(member, str(error))
        if result == "done":
            return Verdict(unit=member.unit, ok=True, what="finds its files good")
        lines = [line for line in _text(said).splitlines() if line.strip()]
        return _unchecked(member, " | ".join(lines[-LINES:]) or f"{member.check[0][0]}: {result or 'lost'}")

    def _problems(self) -> dict[str, str]:
        """What the last runs could not place, by path."""
        found: dict[str, str] = {}
        for path in REPORTS.values():
            try:
                found |= json.loads((self._root / path).read_bytes())["problems"]
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return found


def unheard(verdicts: Iterable[Verdict]) -> bool:
    """Whether an apply came to an end before any unit heard of its files."""
    return any(verdict.result in (NOT_PLACED, CHECK_FAILED) and verdict.blamed for verdict in verdicts)


def without(plan_jobs: Iterable[Job], units: Collection[str]) -> tuple[Job, ...]:
    """The jobs but those of ``units``."""
    return tuple(job for job in plan_jobs if job.unit not in units)


def _misplaced(path: str, what: str, blamed: bool) -> Verdict:
    return Verdict(unit=path, ok=False, what=f"is not placed: {what}", result=NOT_PLACED, blamed=blamed)


def _unchecked(member: Member, said: str) -> Verdict:
    what = f"finds fault with its files: {said}"
    return Verdict(unit=member.unit, ok=False, what=what, result=CHECK_FAILED, blamed=True)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
