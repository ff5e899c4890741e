"""Finds the layers of a run on a system and merges them (docs/design/documents.md, rule 21)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from ordain.transforms.document.keys.schema import sections
from ordain.transforms.errors import SHOWN_WORDS, Problem, Refused, Severity, did_you_mean, first_few, only_errors
from ordain.transforms.model import Document, Kind, MatchCondition
from ordain.transforms.resolve.merge import merge, rank
from ordain.transforms.resolve.resolve import duplicates
from ordain.transforms.runs.run_model import ResolvedRun, RunTarget


def runs_of(documents: Iterable[Document]) -> dict[str, Document]:
    """Return the runs among ``documents`` by name: those Run documents that match on nothing."""
    return {d.name: d for d in documents if d.kind is Kind.RUN and not d.match}


def resolve_run(run: Document, documents: Sequence[Document], target: RunTarget) -> tuple[ResolvedRun, list[Problem]]:
    """Return ``run`` with all layers that match it on ``target``, merged, and the warnings. Raises `Refused`."""
    facts = {
        **run.labels,
        "run": (run.name,),
        "system": (target.system,),
        "scheduler": (target.scheduler,),
        "user": (target.user,) if target.user else (),
    }
    layers = [d for d in documents if d.kind is Kind.RUN and (d is run or (d.match and _holds(d, facts)))]
    ranked = [(layer, rank(layer, (int("run" in layer.match), len(layer.match)))) for layer in layers]
    tree, problems = merge(ranked, sections(Kind.RUN))
    if only_errors(problems):
        raise Refused(problems)
    ranked.sort(key=lambda item: (item[1], item[0].where))
    resolved = ResolvedRun(
        name=run.name, tree=tree, where=run.where, labels=run.labels, layers=tuple(d.name for d, _ in ranked)
    )
    # A layer of defaults is meant to be overridden, and removes what another one may have set.
    return resolved, [p for p in problems if p.code not in {"Overridden", "NullOfNothing"}]


def _holds(layer: Document, facts: Mapping[str, tuple[str, ...]]) -> bool:
    return all(_condition_holds(name, condition, facts.get(name, ())) for name, condition in layer.match.items())


def _condition_holds(name: str, condition: MatchCondition, actual: tuple[str, ...]) -> bool:
    def fits(wanted: str | None) -> bool:
        if wanted is None:
            return not any(actual)
        return any(fnmatchcase(value, wanted) if name == "run" else value == wanted for value in actual)

    return any(map(fits, condition.values)) is not condition.negated


def check_runs(documents: Sequence[Document]) -> Iterator[Problem]:
    """Yield the problems of all Run documents together: names, dependencies on unknown runs, and cycles of them."""
    own = [document for document in documents if document.kind is Kind.RUN]
    yield from duplicates(own)
    for document in own:
        if document.match and document.labels:
            what = "the labels of a Run with `match` have no effect: it is a layer, and matches on the labels of runs"
            hint = "write them in the Run itself"
            yield Problem(where=document.where, what=what, hint=hint, code="Overridden", severity=Severity.WARNING)
        if document.match and document.tier == "run" and "run" not in document.match:
            what = "this layer is at the tier of the runs themselves, but does not match on `run`"
            hint = "set `tier` to site, system, project or user, or match on run"
            yield Problem(where=document.where, what=what, hint=hint, code="Overridden", severity=Severity.WARNING)


def certain_run_problems(documents: Sequence[Document]) -> Iterator[Problem]:
    """Yield the problems of Runs that are certain without a system, for `ordainctl validate`."""
    yield from (problem for problem in check_runs(documents) if problem.code != "Duplicate")
    runs = {name: ResolvedRun(name=name, tree=d.sections, where=d.where) for name, d in runs_of(documents).items()}
    try:
        dependency_order(runs)
    except Refused as refused:
        # Another file may have a run that is missing here, and a layer may remove a dependency.
        yield from (problem for problem in refused.problems if problem.code == "Cycle")


def dependency_order(runs: Mapping[str, ResolvedRun]) -> tuple[str, ...]:
    """Return the names of ``runs`` so that each comes after those that it depends on; equals by name.

    Raises `Refused` for an unknown run and for a cycle.
    """
    problems: list[Problem] = []
    below: dict[str, list[str]] = {}
    for name, run in sorted(runs.items()):
        below[name] = []
        for other, leaf in run.tree.branch("after").leaves():
            if other in runs:
                below[name].append(other)
            else:
                known = f"name its document, too; known runs: {', '.join(first_few(sorted(runs), 'runs'))}"
                similar = did_you_mean(other, runs) if len(problems) < SHOWN_WORDS else ""  # it compares with all
                hint = similar or known
                what = f"the run {name} depends on {other}, which is not among the documents"
                problems.append(Problem(where=leaf.where, what=what, hint=hint, code="UnknownName"))
    order: list[str] = []
    state: dict[str, int] = {}
    for name in below:
        if cycle := _visit(name, below, state, order):
            first = runs[cycle[0]].tree.branch("after").leaf(cycle[1])
            assert first is not None
            circle = " after ".join((*first_few(cycle[:-1], "runs"), cycle[-1]))
            what = f"runs depend on each other in a circle: {circle}"
            hint = "remove one of these dependencies"
            problems.append(Problem(where=first.where, what=what, hint=hint, code="Cycle"))
            break
    if problems:
        raise Refused(problems)
    return tuple(order)


def _visit(start: str, below: Mapping[str, Sequence[str]], state: dict[str, int], order: list[str]) -> list[str]:
    """Append ``start`` and all runs below it to ``order``; return a cycle, if there is one."""
    stack = [(start, iter(below[start]))] if start not in state else []
    state.setdefault(start, 1)
    while stack:
        name, rest = stack[-1]
        other = next(rest, None)
        if other is None:
            state[name] = 2
            order.append(name)
            stack.pop()
        elif other not in state:
            state[other] = 1
            stack.append((other, iter(below[other])))
        elif state[other] == 1:
            path = [step for step, _ in stack]
            return [*path[path.index(other) :], other]
    return []
