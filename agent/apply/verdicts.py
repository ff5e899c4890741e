"""What became of the units: job results and states → verdicts; artifacts and directories → what is missing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ordain.agent.apply.jobs import Done
from ordain.agent.model import Generation, Job, UnitState, UnitVerdict, Verb
from ordain.transforms.artifacts import PlacedFile, UnitFile, UnitLink

DIRECTORIES = {
    "normal": "run/systemd/generator",
    "early": "run/systemd/generator.early",
    "late": "run/systemd/generator.late",
}
"""Where the generator's three arguments are (systemd.generator(7))."""

NOT_LOADED = "not-loaded"
"""The result of a verdict on a unit that got no job, as PID 1 cannot load it."""
UNLOADABLE = {"bad-setting": "PID 1 refuses its unit file", "error": "PID 1 cannot read its unit file"}
"""LoadStates of a unit that no job can start (org.freedesktop.systemd1(5))."""
TELLS = "(`systemctl status` tells more)"

_RESULTS = {
    "timeout": "did not get there in time",
    "failed": "failed",
    "dependency": "something it requires failed",
    "assert": "one of its assertions does not hold",
    "unsupported": "this system cannot have such a unit",
    "collected": "was removed before it ran",
    "once": "runs once per boot, and has run",
    "frozen": "is frozen",
    "deadline": "is still under way; PID 1 goes on with it",
}
"""Job results that are failures (org.freedesktop.systemd1(5), JobRemoved)."""


def verdict(done: Done, state: UnitState) -> UnitVerdict:
    """What a job came to: by its own result, and by the state of its unit a moment later.

    A job is ``done`` also when a condition did not hold, and a start is done while the service already fails
    again; ``canceled`` and lost results say nothing, the state does.
    """
    unit, result = done.job.unit, done.result
    if done.refused:
        return UnitVerdict(unit=unit, ok=False, what=done.refused, result="refused")
    if result in _RESULTS:
        return UnitVerdict(unit=unit, ok=False, what=_because(_RESULTS[result], state), result=result)
    ok, what = _stopped(state) if done.job.verb is Verb.STOP else _started(state)
    if result == "canceled" and done.taken_by == "stop" and done.job.verb is not Verb.STOP and ok:
        what = "was stopped by someone else meanwhile, and is left so"
    elif result == "canceled" and not done.taken_by and done.job.verb is not Verb.STOP and ok and _is_down(state):
        what = "was stopped, or its job was canceled, by someone else meanwhile, and is left so"
    elif result == "canceled":
        what = f"{what}; someone else's job{f' ({done.taken_by})' * bool(done.taken_by)} took the place of ours"
    return UnitVerdict(unit=unit, ok=ok, what=what, result=result)


def _is_down(state: UnitState) -> bool:
    return state.active_state == "inactive" and state.condition_result


def _stopped(state: UnitState) -> tuple[bool, str]:
    if state.active_state in {"inactive", "failed"}:
        return True, "stopped"
    return False, f"is {state.active_state} ({state.sub_state})"


def _started(state: UnitState) -> tuple[bool, str]:
    match state.active_state, state.sub_state:
        case _, ("auto-restart" | "auto-restart-queued"):
            return False, _because("fails again and again", state)
        case "active", sub:
            return True, sub
        case (("activating" | "reloading" | "refreshing"), sub):
            return True, f"{state.active_state} ({sub})"
        case "inactive", _ if not state.condition_result:
            return True, "its conditions are not met, so it does not run"
        case "inactive", _ if state.result in {"", "success"}:
            return True, "has run and ended well"
        case active, sub:
            return False, _because(f"is {active} ({sub})", state)


def _because(what: str, state: UnitState) -> str:
    bad = state.result not in {"", "success"}
    return f"{what} ({state.result}; journalctl -u {state.name} tells more)" if bad else what


def unloadable(jobs: Iterable[Job], states: Mapping[str, UnitState]) -> list[UnitVerdict]:
    """A verdict for each unit that is to be started, but that PID 1 could not load, before any is."""
    return [
        UnitVerdict(unit=unit, ok=False, what=f"{UNLOADABLE[state.load_state]} {TELLS}", result=NOT_LOADED, blamed=True)
        for unit, state in ((job.unit, states.get(job.unit)) for job in jobs if job.verb is not Verb.STOP)
        if state is not None and state.load_state in UNLOADABLE
    ]


def missing(generation: Generation, root: Path) -> tuple[str, ...]:
    """The artifacts that do not stand in the generator's directories as they should, by path."""
    return tuple(_missing(generation, root))


def _missing(generation: Generation, root: Path) -> Iterator[str]:
    placed = {directory: os.fspath(root / path) for directory, path in DIRECTORIES.items()}
    for artifact in generation.artifacts:
        if isinstance(artifact, PlacedFile):
            continue
        directory, _, name = artifact.path.partition("/")
        path = f"{placed[directory]}/{name}"
        try:  # thousands, after every reload: pathlib triples it
            if isinstance(artifact, UnitLink):
                there = os.readlink(path) == artifact.target  # noqa: PTH115
            else:
                with open(path, "rb") as file:  # noqa: PTH123
                    there = file.read() == artifact.content.encode()
        except OSError:
            there = False
        if not there:
            yield artifact.path


def overridden(generation: Generation, units: Mapping[str, UnitState]) -> Iterator[tuple[str, str]]:
    """Each unit that PID 1 reads otherwise than we placed it, and how: an admin's file comes before ours.

    ``units`` are looked at for ``load_state``, ``fragment_path`` and ``drop_in_paths``; a masked unit is the
    plan's to tell of, and a template has no state.
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
            yield unit, f"another drop-in of the name {file} is read in place of ours"
        elif not file and state.fragment_path != path:
            yield unit, f"read from {state.fragment_path}, which comes before ours"
