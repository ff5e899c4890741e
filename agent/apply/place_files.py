"""Files of the documents: placed, taken up by the programs that run, and checked by the services that read them.

    Generation, Plan ──place──▶ files ──▶ time zone, locale, network of the running system ──check──▶ UnitVerdict

At boot and in an apply, the same units place them; the agent itself may write none of them (ordain-agent.service). The
settings of the host are files, too. While the system runs, PID 1 passes the locale on to what it starts from now on,
and timedated tells the kernel about the time zone; the host name and the keymap have units that read their files again.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from ordain.agent.apply.differences.host_differences import SYSCTL_READER
from ordain.agent.apply.jobs.jobs import run_jobs
from ordain.agent.apply.jobs.verdicts import NOT_LOADED
from ordain.agent.apply.network.network_reload import NetworkReload
from ordain.agent.condition import StatusCondition
from ordain.agent.model import Generation, Job, Observed, Plan, UnitVerdict, Verb
from ordain.agent.secrets.exchange import UNIT as SECRETS
from ordain.agent.system import atomic_files
from ordain.agent.system.dbus.bus import BusError
from ordain.agent.system.systemd.systemd1 import MANAGER, NAME, PATH, Systemd
from ordain.agent.system.systemd.transient_units import run
from ordain.generator.phases import REPORTS
from ordain.transforms.artifacts import AbsentFile, PlacedFile, is_sealed
from ordain.transforms.model import Member

REMOTE = "ordain-files-remote.service"
UNITS = ("ordain-files-early.service", "ordain-users.service", "ordain-files.service")
"""The units that place files, in the order in which PID 1 runs them; `SECRETS` is the second, if there are secrets."""
TIMEDATE, TIMEDATE_PATH = "org.freedesktop.timedate1", "/org/freedesktop/timedate1"
NOT_PLACED, CHECK_FAILED = "not-placed", "check-failed"
"""The results of verdicts of this module: no job of the apply was queued."""
SHOWN_FILES = 10
"""The most files that could not be placed that a comparison lists."""
CHECK = "ordain-check-{unit}"
CHECK_OUTPUT = "run/ordain/check"
CHECK_SEC = 60.0


class LiveFiles:
    """Places files below ``root``, on a machine whose PID 1 is ``systemd``."""

    def __init__(self, systemd: Systemd, root: Path) -> None:
        self._systemd, self._root = systemd, root
        self._network = NetworkReload(systemd, root)

    async def apply(
        self, old: Generation, new: Generation, plan: Plan, *, asked: bool, rolls_back: bool
    ) -> list[UnitVerdict]:
        """Place the files of ``plan``, have running programs take them up, and check them unless it ``rolls_back``.

        Devices of the network are repaired if the plan says so; a roll back of that restores the network. ``asked``:
        an administrator asked for the apply. Return a verdict for each failure.
        """
        if rolls_back and (wrong := await self._network.restore()):
            return wrong
        self._network.forget()
        if not plan.files:
            return []
        mounts = [job for job in plan.jobs if job.verb is Verb.START and job.unit.endswith(".mount")]
        await run_jobs(self._systemd, mounts, Observed())  # a file may lie on one of them
        more = [(REMOTE, "remote", _has_remote), (SECRETS, "secrets", _has_secrets)]
        units = [
            unit for unit, phase, has in more if has(old) or has(new) or read_reports(self._root, "problems", (phase,))
        ]
        wrong = await self._place((*UNITS, *units), new)
        await apply_host_settings(self._systemd, old, new)
        wrong += await self._network.apply(old, new, plan, asked=asked, rolls_back=rolls_back)
        return wrong if wrong or rolls_back else await self._check(new, plan)

    async def _place(self, units: Iterable[str], new: Generation) -> list[UnitVerdict]:
        """Run the ``units`` that place the files of ``new``; return a verdict for each file that they could not place.

        The apply is not to blame for a file that could not be placed before either, or that lies in a directory of a
        user: otherwise that user could roll back any apply.
        """
        before = read_reports(self._root, "problems")
        jobs = [Job(unit=unit, verb=Verb.RESTART, reason="files changed") for unit in units]
        results = await run_jobs(self._systemd, jobs, Observed())
        problems, excused = read_reports(self._root, "problems"), {*before, *read_reports(self._root, "users")}
        verdicts = [
            _not_placed(path, _placement_problem(path, what, new), path not in excused)
            for path, what in sorted(problems.items())
        ]
        for result in results:
            if result.result != "done" and not problems:
                unit = result.job.unit
                what = result.refused or f"{result.result or 'was lost'} (see journalctl -u {unit})"
                verdicts.append(_not_placed(unit, f"could not be placed: {what}", True))
        return verdicts

    async def _check(self, new: Generation, plan: Plan) -> list[UnitVerdict]:
        """Have services check their files before they read them; return a verdict for each check that failed.

        A check runs for each unit that gets a job, and for each unit whose files change without one.
        """
        affected = {job.unit for job in plan.jobs} | {change.unit for change in plan.changes if change.key[:1] == "/"}
        members = [member for member in new.members if member.check and member.unit in affected]
        states = await self._systemd.list_units(member.unit for member in members)
        verdicts = [await self._run_check(m) for m in members if states[m.unit].load_state == "loaded"]
        return [verdict for verdict in verdicts if not verdict.ok]

    async def _run_check(self, member: Member) -> UnitVerdict:
        wrong = await run(
            self._systemd,
            CHECK.format(unit=member.unit),
            f"Check of the Files of {member.unit}",
            member.check,
            output=self._root / CHECK_OUTPUT / member.unit,
            seconds=CHECK_SEC,
        )
        if not wrong:
            return UnitVerdict(unit=member.unit, ok=True, what="its configuration check passed")
        what = f"its configuration check failed: {wrong}"
        public = "its configuration check failed"
        return UnitVerdict(unit=member.unit, ok=False, what=what, result=CHECK_FAILED, blamed=True, public=public)


def read_reports(root: Path, part: str, phases: Iterable[str] = REPORTS) -> dict[str, str]:
    """Return a part of the reports of the units that place files, by path (`generator.files.PlacementReport`).

    Problems of accounts have the item as their key.
    """
    reported: dict[str, str] = {}
    for phase in phases:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            reported |= json.loads(atomic_files.read(root / REPORTS[phase]))[part]
    return reported


def unplaced_files(generation: Generation, reported: Collection[str]) -> Iterator[str]:
    """Yield the files of ``generation`` that have a problem among the ``reported`` paths, items and sections."""
    for artifact in generation.artifacts if reported else ():
        names = {artifact.path, artifact.item, artifact.item.partition("/")[0]}
        if isinstance(artifact, PlacedFile) and not names.isdisjoint(reported):
            yield artifact.path


def left_over(generation: Generation, reported: Iterable[str]) -> frozenset[str]:
    """Return those of the ``reported`` paths and items that ``generation`` does not have: they could not be removed."""
    wanted: set[str] = set()
    for artifact in generation.artifacts:
        wanted |= {artifact.path, artifact.item, artifact.item.partition("/")[0]}
    return frozenset(reported) - wanted


def placement_conditions(generation: Generation, root: Path) -> Iterator[StatusCondition]:
    """Yield a condition for each file and account that the units could not place or remove, `SHOWN_FILES` at most."""
    for path, what in sorted(read_reports(root, "problems").items())[:SHOWN_FILES]:
        what, hint = (
            f"{path} {_placement_problem(path, what, generation)}",
            "remove the obstacle, then run `ordainctl apply`",
        )
        yield StatusCondition(code="FileNotPlaced", what=what, hint=hint, fault=True)


def _placement_problem(path: str, what: str, generation: Generation) -> str:
    absent = any(isinstance(artifact, AbsentFile) and artifact.path == path for artifact in generation.artifacts)
    goes = absent or path in left_over(generation, (path,))
    return f"could not be {'removed' if goes else 'placed'}: {what}"


async def apply_host_settings(systemd: Systemd, old: Generation, new: Generation) -> None:
    """Bring a change of the time zone and of the locale into the running system.

    A program that does not run now reads the files when it starts.
    """
    before, after = _host(old), _host(new)
    with contextlib.suppress(BusError):
        if (zone := after.get("timezone")) and zone != before.get("timezone"):
            await systemd.bus.call(TIMEDATE, TIMEDATE_PATH, TIMEDATE, "SetTimezone", "sb", zone, False)
    with contextlib.suppress(BusError):
        if (locale := after.get("locale")) and locale != before.get("locale"):
            await systemd.bus.call(NAME, PATH, MANAGER, "SetEnvironment", "as", [f"LANG={locale}"])
        elif "locale" in before and not locale:
            await systemd.bus.call(NAME, PATH, MANAGER, "UnsetEnvironment", "as", ["LANG"])


def _host(generation: Generation) -> dict[str, str]:
    host = generation.document.get("host", {})
    return {key: value for key, value in host.items() if isinstance(value, str)}


def failed_before_jobs(verdicts: Iterable[UnitVerdict]) -> bool:
    """Return whether an apply failed before any unit got a job, so that no process has anything new."""
    return any(verdict.result in (NOT_PLACED, CHECK_FAILED, NOT_LOADED) and verdict.blamed for verdict in verdicts)


def undoes_placement(job: Job) -> bool:
    """Return whether a roll back needs ``job`` after an apply that has only placed files.

    No process has new definitions then. But a program that places files has also set the previous values of the kernel
    parameters that the documents do not have any more (`generator.sysctl_restore`).
    """
    return job.verb is Verb.START or job.unit == SYSCTL_READER


def without_units(jobs: Iterable[Job], units: Collection[str]) -> tuple[Job, ...]:
    """Return the jobs except those of ``units``."""
    return tuple(job for job in jobs if job.unit not in units)


def _has_remote(generation: Generation) -> bool:
    return any(isinstance(artifact, PlacedFile) and artifact.remote for artifact in generation.artifacts)


def _has_secrets(generation: Generation) -> bool:
    return any(map(is_sealed, generation.artifacts))


def _not_placed(path: str, what: str, blamed: bool) -> UnitVerdict:
    return UnitVerdict(unit=path, ok=False, what=what, result=NOT_PLACED, blamed=blamed)
