"""The door of the package: documents and a system to the scripts of all runs, in the order of their dependencies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ordain.transforms.catalog.shipped import DIRECTORY
from ordain.transforms.errors import Problem, Refused, Where, did_you_mean, only_errors, sorted_problems
from ordain.transforms.model import Document, Leaf
from ordain.transforms.runs.job_script import job_scripts
from ordain.transforms.runs.run_elements import elements_of
from ordain.transforms.runs.run_layers import check_runs, dependency_order, resolve_run, runs_of
from ordain.transforms.runs.run_model import JobScript, ResolvedRun, RunTarget, ScriptLine
from ordain.transforms.runs.scheduler_rows import RunSystem, RunSystems


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedRuns:
    """The jobs of runs on one system, each after those that it depends on; the runs as resolved; and warnings."""

    system: RunSystem
    scripts: tuple[JobScript, ...]
    runs: dict[str, ResolvedRun]
    problems: tuple[Problem, ...] = ()


def render_runs(
    documents: Sequence[Document],
    systems: RunSystems,
    system: str,
    *,
    user: str = "",
    only: Iterable[str] = (),
    token: str = "",
) -> RenderedRuns:
    """Return the scripts of all runs among ``documents`` on ``system``, or of the runs ``only`` and those before them.

    ``token`` makes the names of units different from those of other submissions. Raises `Refused` with every error.
    """
    target_system = systems.system(system)
    target = RunTarget(system=system, scheduler=target_system.scheduler, user=user)
    problems = list(check_runs(documents))
    own = runs_of(documents)
    names = tuple(only)
    for name in names:
        if name not in own:
            hint = did_you_mean(name, own) or f"known runs: {', '.join(sorted(own))}"
            problems.append(Problem(where=Where(), what=f"there is no run {name}", hint=hint, code="UnknownName"))
    if only_errors(problems):
        raise Refused(problems)
    runs: dict[str, ResolvedRun] = {}
    for name, document in own.items():
        try:
            runs[name], warnings = resolve_run(document, documents, target)
            problems += warnings
        except Refused as refused:
            problems += refused.problems
    if only_errors(problems):
        raise Refused(problems)
    order = dependency_order(runs)
    wanted = set(_with_dependencies(names, runs)) if names else set(runs)
    scripts: list[JobScript] = []
    for name in order:
        if name not in wanted:
            continue
        try:
            shared, elements = elements_of(runs[name], target)
        except Refused as refused:
            problems += refused.problems
            continue
        made, wrong = job_scripts(runs[name], shared, elements, target_system, token)
        scripts += made
        problems += wrong
    if only_errors(problems):
        raise Refused(problems)
    return RenderedRuns(system=target_system, scripts=tuple(scripts), runs=runs, problems=sorted_problems(problems))


def _with_dependencies(names: Iterable[str], runs: dict[str, ResolvedRun]) -> Iterator[str]:
    """Yield ``names`` and every run that they depend on."""
    seen: set[str] = set()
    rest = list(names)
    while rest:
        if (name := rest.pop()) not in seen:
            seen.add(name)
            yield name
            rest += runs[name].tree.branch("after").children


def script_text(script: JobScript, *, comments: bool = True) -> str:
    """Return the text of a script; ``comments``: with a comment that names the cause above each line."""
    texts: list[str] = []
    causes: tuple[str, ...] = ()
    for line in script.lines:
        if line.heading:
            texts.append(f"\n# {line.heading}")
        shown = cause_texts(line)
        if comments and line.commented and shown != causes:
            texts += (f"# from {text}" for text in shown)
        causes = shown or causes
        texts.append(line.text)
    return "\n".join(texts) + "\n"


def cause_texts(line: ScriptLine) -> tuple[str, ...]:
    """Return the place, the layer and the key of each value that made a line, in printable characters."""
    return tuple(_cause_text(leaf) for leaf in (line.cause, *line.more) if leaf.where.path)


def _cause_text(leaf: Leaf) -> str:
    path = leaf.where.path.removeprefix(f"{DIRECTORY}/")  # a shipped row is named by its file
    place = f"{path}:{leaf.where.line}" if leaf.where.line else path
    text = f"{place} ({leaf.layer}) {leaf.where.pointer}".rstrip()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
