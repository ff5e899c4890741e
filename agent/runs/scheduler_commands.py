"""Runs the programs of a scheduler, as the rows of its system say: submit, status, cancel and log, without a shell.

JobScript ─submit▶ JobRecord ─job_state▶ JobState
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ordain.agent.errors import Failure
from ordain.agent.runs import job_records
from ordain.agent.runs.job_records import JobRecord
from ordain.transforms.runs.patterns import PatternValue, fill, fill_words
from ordain.transforms.runs.run_model import JobScript
from ordain.transforms.runs.run_render import script_text
from ordain.transforms.runs.scheduler_rows import RunSystem

TIMEOUT_SEC = 60.0
ENDED = frozenset({"done", "failed", "timed-out", "cancelled"})
"""The states that a job does not leave any more."""
_RANK = ("running", "held", "waiting", "unknown", "failed", "timed-out", "cancelled", "done")
"""The state of an array is the first of these that one of its elements has."""

Call = Callable[[Sequence[str], str | None], subprocess.CompletedProcess[str]]
"""Runs an argument vector with a standard input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """The state of a job in neutral words, its exit status if the scheduler prints one, and the scheduler's word."""

    state: str
    exit_status: int | None = None
    word: str = ""


def call_program(argv: Sequence[str], stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program of the scheduler and return its result. Raises `Failure` if it is missing or does not answer."""
    try:
        return subprocess.run(
            argv, input=stdin or "", capture_output=True, text=True, errors="replace", timeout=TIMEOUT_SEC, check=False
        )
    except FileNotFoundError:
        hint = "run this on a machine where the scheduler's commands are installed"
        raise Failure(f"{argv[0]}: not found; {hint}") from None
    except subprocess.TimeoutExpired:
        raise Failure(f"{argv[0]}: no answer within {TIMEOUT_SEC:.0f} s; try again later") from None


def missing_programs(system: RunSystem) -> Iterator[str]:
    """Yield the programs that are needed to submit to ``system`` and not installed here."""
    program = _submit_words(system)[0]
    if shutil.which(program) is None:
        yield program


def submit_words(
    script: JobScript, system: RunSystem, ids: Mapping[str, Sequence[str]], path: str
) -> tuple[tuple[str, ...], bool]:
    """Return the words that submit ``script``, and whether its text is their standard input.

    ``ids`` are the ids of the jobs of each run that was submitted before; ``path`` is the file of the script.
    """
    texts: list[str] = []
    patterns = {name: pattern_texts for name, pattern_texts, _ in system.patterns("dependencies")}
    for run, condition in script.after:
        for job in ids.get(run, ()):
            for pattern in patterns[condition]:
                filled = fill(pattern, {"id": job})
                texts += filled.texts if filled else ()
    values: dict[str, PatternValue] = {**_place(), "script": path}
    if texts:
        separator = system.row.value("dependency-separator")
        values["dependencies"] = tuple(texts) if separator is None else str(separator).join(texts)
        values["dependent"] = True
    if script.arguments:
        values["directives"] = tuple(line.text for line in script.arguments)
    words, used = fill_words(_submit_words(system), values)
    return words, "script" not in used


def submit(
    scripts: Iterable[JobScript], system: RunSystem, home: Path, call: Call = call_program
) -> Iterator[JobRecord]:
    """Submit ``scripts``, each after those that it depends on, and yield the record of each job. Raises `Failure`."""
    ids: dict[str, list[str]] = {}
    for script in scripts:
        text = script_text(script)
        path = home / "scripts" / f"{script.unit}.sh"
        words, from_input = submit_words(script, system, ids, str(path))
        if not from_input:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path.chmod(0o700)
        make_output_directory(script)
        done = call(words, text if from_input else None)
        if done.returncode != 0:
            hint = fill(system.texts("hints").get("submit", ""), _place())
            remedy = f"; {hint.texts[0]}" if hint and hint.texts[0] else ""
            raise Failure(f"{script.name}: {words[0]} failed: {_message(done)}{remedy}")
        job = _id(script, system, done)
        ids.setdefault(script.run, []).append(job)
        record = JobRecord(
            id=job,
            run=script.run,
            system=system.name,
            submitted=datetime.now(UTC).isoformat(timespec="microseconds"),
            output=script.output,
            directory=str(Path.cwd()),
            script="" if from_input else str(path),
            index=script.index,
            elements=script.elements,
        )
        job_records.save(record, home)
        yield record


def job_state(job: str, system: RunSystem, call: Call = call_program) -> JobState:
    """Return the state of a job; ``unknown`` if no command of the scheduler prints one."""
    pattern = system.text("state")
    for words in system.words("status"):
        argv, _ = fill_words(words, {**_place(), "id": job})
        if shutil.which(argv[0]) is None:
            continue
        done = call(argv, None)
        states = [_state(match, system) for match in re.finditer(pattern, done.stdout)] if pattern else []
        if states:
            return min(states, key=lambda state: (_RANK.index(state.state), -(state.exit_status or 0)))
    return JobState(state="unknown")


def cancel(job: str, system: RunSystem, call: Call = call_program) -> None:
    """End a job. Raises `Failure` if the scheduler refuses."""
    words = next(iter(system.words("cancel")), ())
    if not words:
        raise Failure(f"{system.name} has no command to cancel a job; add `cancel` to its scheduler")
    argv, _ = fill_words(words, {**_place(), "id": job})
    done = call(argv, None)
    if done.returncode != 0:
        raise Failure(f"{job}: {argv[0]} failed: {_message(done)}")


def log_text(job: str, system: RunSystem, call: Call = call_program) -> str | None:
    """Return the output of a job that the scheduler keeps, None if it has no command for that."""
    words = next(iter(system.words("log")), ())
    if not words:
        return None
    argv, _ = fill_words(words, {**_place(), "id": job})
    done = call(argv, None)
    if done.returncode != 0:
        raise Failure(f"{job}: {argv[0]} failed: {_message(done)}")
    return done.stdout


def make_output_directory(script: JobScript) -> None:
    """Make the directories of the output, because a scheduler loses the output or the job if they are missing."""
    for file in (script.output, script.errors):
        head = file.rpartition("/")[0]
        if head and "{" not in head:
            Path(head).mkdir(parents=True, exist_ok=True)


def _place() -> dict[str, PatternValue]:
    return {"root" if os.geteuid() == 0 else "unprivileged": True}


def _submit_words(system: RunSystem) -> tuple[str, ...]:
    words = next(iter(system.words("submit")), ())
    if not words:
        raise Failure(f"{system.name} has no command to submit a script; add `submit` to its scheduler")
    return words


def _id(script: JobScript, system: RunSystem, done: subprocess.CompletedProcess[str]) -> str:
    if own := system.text("own-id"):
        filled = fill(own, {"unit": script.unit})
        assert filled is not None
        return filled.texts[0]
    match = re.search(system.text("id", r"\S+"), done.stdout)
    if match is None:
        raise Failure(f"{script.name}: the id of the job is not in the output of the scheduler: {_message(done)}")
    return match[0]


def _state(match: re.Match[str], system: RunSystem) -> JobState:
    groups = match.groupdict()
    states = system.texts("states")
    word, status, reason = groups.get("state"), groups.get("exit"), groups.get("reason")
    word = reason if reason in states else word
    code = int(status) if status else None
    state = states.get(word or "", "unknown" if word else "done")
    if state == "done" and code:
        state = "failed"
    if state == "failed" and code == 0:
        code = None  # it failed before its commands began
    return JobState(state=state, exit_status=code if state in {"done", "failed"} else None, word=word or "")


def _message(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}")[:2000]
