"""run submit, status, wait, cancel, log: jobs of batch systems from Run documents."""

from __future__ import annotations

import os
import shlex
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Cell, Console, Style, plural
from ordain.agent.cli.json_shapes import (
    JsonJob,
)
from ordain.agent.cli.parse import Usage
from ordain.agent.cli.runs.run_files import asking_user, read_run_files, system_name
from ordain.agent.errors import Failure
from ordain.agent.runs import job_records, scheduler_commands
from ordain.agent.runs.job_records import JobRecord
from ordain.agent.runs.scheduler_commands import ENDED, JobState
from ordain.transforms.errors import did_you_mean, sorted_problems
from ordain.transforms.runs.run_render import render_runs
from ordain.transforms.runs.scheduler_rows import RunSystem
from ordain.transforms.systemd.values import EncodeError, timespan

LATEST = 20
"""The jobs that `run status` shows without an id."""
_STYLES = {
    "done": Style.GOOD,
    "failed": Style.BAD,
    "timed-out": Style.BAD,
    "cancelled": Style.WARN,
    "unknown": Style.WARN,
}
_WAIT_SEC = (0.5, 15.0)
"""The first and the longest time between two questions; no scheduler sends a signal that all of them have."""
_UNKNOWN_TURNS = 20
"""After so many answers without a state, a job counts as unknown."""


def submit(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl run submit`."""
    documents, systems, warnings = read_run_files(request.file, request)
    token = f"{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}"
    system = system_name(request, systems)
    rendered = render_runs(documents, systems, system, user=asking_user(request), only=request.run, token=token)
    console.problems(sorted_problems((*warnings, *rendered.problems)))
    if not rendered.scripts:
        raise Failure("there is no Run without `match` in the files, so there is nothing to submit")
    home = job_records.directory()
    if request.dry_run:
        for script in rendered.scripts:
            ids = {run: [f"ID-OF-{run}"] for run, _ in script.after}
            words, from_input = scheduler_commands.submit_words(script, rendered.system, ids, f"{script.name}.sh")
            console.line(shlex.join(words) + (f" <{script.name}.sh" if from_input else ""))
        return Exit.OK
    for program in scheduler_commands.missing_programs(rendered.system):
        hint = f"submit on a machine of {system}, or use `run render`"
        raise Failure(f"{program}: not found, so nothing can be submitted to {system} from here; {hint}")
    submitted: list[JobRecord] = []
    job_records.prune(home)
    try:
        for record in scheduler_commands.submit(rendered.scripts, rendered.system, home):
            submitted.append(record)
            if not request.json:
                console.line(record.id)
                console.note(
                    f"{record.run}{'' if record.index is None else f' (element {record.index})'}: submitted to {system}"
                )
    except (Failure, OSError) as error:
        return _undo(submitted, rendered.system, error, console)
    if request.json:
        console.json([_record_json(record, None) for record in submitted])
    return Exit.OK


def _undo(submitted: Sequence[JobRecord], system: RunSystem, error: Exception, console: Console) -> Exit:
    """Cancel the jobs that were submitted before one was refused, and return the exit status."""
    console.note(f"ordainctl: {error}", Style.BAD)
    if not submitted:
        return Exit.REFUSED
    left = []
    for record in reversed(submitted):
        try:
            scheduler_commands.cancel(record.id, system)
            console.note(f"{record.id}: cancelled, because the whole submission failed")
        except (Failure, OSError) as failure:
            left.append(record.id)
            console.note(f"ordainctl: {failure}", Style.BAD)
    if left:
        console.note(f"still submitted: {' '.join(left)}; cancel them yourself", Style.BAD)
    return Exit.INCOMPLETE if left else Exit.ROLLED_BACK


def status(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl run status`."""
    jobs = list(_jobs(request, request.id)) if request.id else _latest(request)
    states = [(record, scheduler_commands.job_state(record.id, system)) for record, system in jobs]
    _print_states(states, request, console)
    return _exit(state for _, state in states)


def wait(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl run wait`."""
    jobs = list(_jobs(request, request.id))
    try:
        deadline = time.monotonic() + timespan(request.timeout) / 1e6 if request.timeout else float("inf")
    except EncodeError as error:
        raise Usage(f"--timeout: {error}") from None
    states: dict[int, JobState] = {}
    unknown = dict.fromkeys(range(len(jobs)), 0)
    pause, longest = _WAIT_SEC
    while True:
        for at, (record, system) in enumerate(jobs):
            if at in states and (states[at].state in ENDED or unknown[at] >= _UNKNOWN_TURNS):
                continue
            states[at] = scheduler_commands.job_state(record.id, system)
            unknown[at] += states[at].state == "unknown"
        rest = [at for at, s in states.items() if s.state not in ENDED and unknown[at] < _UNKNOWN_TURNS]
        if not rest or time.monotonic() >= deadline:
            break
        time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
        pause = min(pause * 1.3, longest)
    _print_states([(record, states[at]) for at, (record, _) in enumerate(jobs)], request, console)
    if rest:
        console.note(f"{plural(len(rest), 'job')} not ended within {request.timeout}", Style.WARN)
        return Exit.DEGRADED
    return _exit(states.values())


def cancel(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl run cancel`."""
    failures = []
    for record, system in _jobs(request, request.id):
        try:
            scheduler_commands.cancel(record.id, system)
        except Failure as failure:
            failures.append(str(failure))
    if failures:
        raise Failure("; ".join(failures))
    return Exit.OK


def log(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl run log`."""
    ((record, system),) = _jobs(request, [request.id])
    if request.index is not None and not request.index.isdigit():
        raise Usage(f"--index must be a number, not {request.index!r}")
    if record.elements > 1 and request.index is None and "{index}" in record.output:
        raise Usage(f"{record.id} is an array of {record.elements} elements; name one with --index")
    path = record.output_path(int(request.index or 0))
    if path and path.exists():
        console.text(path.read_text(encoding="utf-8", errors="replace"))
        return Exit.OK
    text = scheduler_commands.log_text(record.id, system)
    if text is None:
        reason = f"{path} does not exist yet" if path else "its system has no command for it, and it has no `output`"
        raise Failure(f"there is no output of {record.id}: {reason}")
    console.text(text)
    return Exit.OK


def _jobs(request: Namespace, ids: Iterable[str]) -> Iterator[tuple[JobRecord, RunSystem]]:
    """Yield the record and the system of each job; --on names the system of a job without a record."""
    known: dict[str, list[JobRecord]] = {}
    for record in job_records.records(job_records.directory()):
        known.setdefault(record.id, []).append(record)
    request.only_files = False
    _, systems, _ = read_run_files([], request)
    for job in ids:
        matching = [r for r in known.get(job, ()) if not request.system or r.system == request.system]
        if matching:
            yield matching[0], systems.system(matching[0].system)
        elif request.system:
            yield JobRecord(id=job, run="-", system=request.system, submitted=""), systems.system(request.system)
        else:
            hint = did_you_mean(job, known) or "name its system with --on"
            raise Failure(f"there is no record of a job {job}; {hint}")


def _latest(request: Namespace) -> list[tuple[JobRecord, RunSystem]]:
    records = [
        r for r in job_records.records(job_records.directory()) if not request.system or r.system == request.system
    ]
    request.only_files = False
    _, systems, _ = read_run_files([], request)
    return [(record, systems.system(record.system)) for record in records[:LATEST]]


def _print_states(states: Sequence[tuple[JobRecord, JobState]], request: Namespace, console: Console) -> None:
    if request.json:
        console.json([_record_json(record, state) for record, state in states])
        return
    rows: list[tuple[Cell, ...]] = []
    for record, state in states:
        run = record.run if record.index is None else f"{record.run}-{record.index}"
        exit_status = "" if state.exit_status is None else str(state.exit_status)
        rows.append((record.id, run, record.system, (state.state, _STYLES.get(state.state, Style.PLAIN)), exit_status))
    console.table(("ID", "RUN", "SYSTEM", "STATE", "EXIT"), rows)


def _record_json(record: JobRecord, state: JobState | None) -> JsonJob:
    job = JsonJob(
        id=record.id,
        run=record.run,
        system=record.system,
        index=record.index,
        elements=record.elements,
        submitted=record.submitted,
        output=record.output,
    )
    return {**job, "state": state.state, "exit": state.exit_status, "word": state.word} if state else job


def _exit(states: Iterable[JobState]) -> Exit:
    good = {"waiting", "held", "running", "done"}
    return Exit.OK if all(state.state in good for state in states) else Exit.DEGRADED
