"""Runs that several tests render, and the systems that they are rendered for."""

from __future__ import annotations

from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem, Refused
from ordain.transforms.model import Document
from ordain.transforms.runs.run_model import JobScript
from ordain.transforms.runs.run_render import RenderedRuns, render_runs
from ordain.transforms.runs.scheduler_rows import run_systems

SYSTEMS = ("slurm", "pbs", "lsf", "flux", "sge", "local")


def documents_of(text: str) -> tuple[Document, ...]:
    """Return the documents of a text that has no problem."""
    documents, problems = read("run.json" if text.startswith("{") else "run.yaml", text.encode())
    assert problems == ()
    return documents


def rendered(text: str, system: str = "slurm", more: str = "", user: str = "") -> RenderedRuns:
    """Return the runs of a text on a system; ``more`` are further documents, such as systems. Raises `Refused`."""
    documents = documents_of(text)
    others, problems = read("site.yaml", more.encode())
    assert problems == ()
    systems, _ = run_systems((*shipped(), *documents, *others))
    return render_runs((*others, *documents), systems, system, user=user)


def script(text: str, system: str = "slurm", more: str = "") -> JobScript:
    """Return the script of the only run of a text."""
    (made,) = rendered(text, system, more).scripts
    return made


def lines(text: str, system: str = "slurm", more: str = "") -> list[str]:
    """Return the lines of the script of the only run of a text."""
    made = script(text, system, more)
    return [line.text for line in (*made.lines, *made.arguments)]


def refused(text: str, system: str = "slurm", more: str = "") -> tuple[Problem, ...]:
    """Return the problems for which the runs of a text are refused."""
    try:
        rendered(text, system, more)
    except Refused as refusal:
        return refusal.problems
    raise AssertionError("the run is not refused")


def run(keys: str, name: str = "x") -> str:
    """Return a Run with these keys, in flow style."""
    return f"ordain: v1\nkind: Run\nname: {name}\n{keys}\n"
