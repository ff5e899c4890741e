"""Tests of documents: reads Test documents, compiles the documents for their machines, and compares.

bytes ─read_tests─▶ DocumentTest ─run_tests─▶ SuiteResult, with a failure for each expectation that does not hold
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from ordain.transforms.artifacts import AbsentFile, RegularFile, UnitFile
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.compile import compile
from ordain.transforms.document import validate
from ordain.transforms.document.keys import expectation_keys
from ordain.transforms.document.keys.shapes import Position, Record
from ordain.transforms.document.reader import read_nodes
from ordain.transforms.document.text.node import Unreadable
from ordain.transforms.errors import Problem, Refused, Severity, Where, did_you_mean, sorted_problems
from ordain.transforms.model import Branch, Compiled, Document, Facts, Kind, strings
from ordain.transforms.render.cause_comments import lines_with_causes

MAX_CASES = 10_000
"""The most pairs of a test and a system in one run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentTest:
    """One Test document; ``keys`` are its keys in canonical form, ``places`` those of the names of units and files."""

    name: str
    systems: tuple[str, ...]
    keys: Branch
    places: Mapping[str, Where]
    where: Where


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmetExpectation:
    """An expectation that does not hold: its place, and the place in the documents that is the cause, "" if unknown."""

    where: Where
    what: str
    cause: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f"; the cause is at {self.cause}" if self.cause else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """The result of one test on one system, and the layers that matched there."""

    test: str
    system: str
    where: Where
    failures: tuple[UnmetExpectation, ...]
    layers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteResult:
    """The results of all tests, and the layers that matched in none of them."""

    cases: tuple[CaseResult, ...]
    untested: tuple[Document, ...]
    layers: int

    @property
    def percent(self) -> int:
        """Return the part of the layers that matched in a test, rounded down; 100 if there are none."""
        return 100 * (self.layers - len(self.untested)) // self.layers if self.layers else 100


def read_tests(path: str, data: bytes) -> tuple[tuple[DocumentTest, ...], tuple[Problem, ...]]:
    """Return the Test documents of one file, and every problem with them."""
    tests: list[DocumentTest] = []
    problems: list[Problem] = []
    try:
        for node in read_nodes(path, data):
            if wrong := validate.misfits(node, expectation_keys.schema()):
                problems += wrong
                continue
            name = str(node.at(["name"]).value)
            head = {key: child for key, child in dict(node.value).items() if key in expectation_keys.TEST}  # type: ignore[arg-type]
            keys = Record(expectation_keys.TEST).canonical(replace(node, value=head), Position(name))
            assert isinstance(keys, Branch)
            systems = tuple(dict.fromkeys(strings(keys.value("systems") or ())))
            if systems:
                sections = [head[key] for key in ("units", "files") if key in head]
                places = {name: where for section in sections for name, where in section.keys.items()}
                tests.append(DocumentTest(name=name, systems=systems, keys=keys, places=places, where=node.where))
            else:
                what, hint = "the test names no system, so it tests nothing", "write systems: [debian-13]"
                problems.append(Problem(where=node.where, what=what, hint=hint))
    except Unreadable as error:
        problems.append(error.problem)
    return tuple(tests), sorted_problems(problems)


def run_tests(
    tests: Iterable[DocumentTest],
    documents: tuple[Document, ...],
    shipped: tuple[Document, ...],
    as_node: Callable[[Facts, str, Iterable[Document]], Facts],
) -> SuiteResult:
    """Return the results of ``tests`` on ``documents``; machines that are alike are compiled once.

    ``as_node`` gives the facts of a machine that has a Node. Raises `Refused` for an unknown system or Node, or for
    too many cases.
    """
    pairs = [(test, system) for test in tests for system in test.systems]
    if len(pairs) > MAX_CASES:
        what = f"the tests have {len(pairs):,} pairs of a test and a system; one run has at most {MAX_CASES:,}"
        raise Refused([Problem(where=pairs[0][0].where, what=what, hint="test fewer systems in one run")])
    compiled: dict[str, Compiled | Refused] = {}
    cases = []
    for test, system in pairs:
        facts = _facts(test, system, documents, as_node)
        if (key := repr(facts)) not in compiled:
            compiled[key] = _compile(documents, facts, shipped)
        result = compiled[key]
        layers = () if isinstance(result, Refused) else result.resolved.layers
        failures = tuple(_failures(test, result))
        cases.append(CaseResult(test=test.name, system=system, where=test.where, failures=failures, layers=layers))
    known = [document for document in documents if document.kind in (Kind.LAYER, Kind.NODE)]
    touched = {name for case in cases for name in case.layers}
    untested = tuple(document for document in known if document.name not in touched)
    return SuiteResult(cases=tuple(cases), untested=untested, layers=len(known))


def _facts(
    test: DocumentTest,
    system: str,
    documents: tuple[Document, ...],
    as_node: Callable[[Facts, str, Iterable[Document]], Facts],
) -> Facts:
    try:
        facts = facts_for(system)
    except Refused as refused:
        leaf = test.keys.leaf("systems")
        raise Refused(replace(p, where=leaf.where if leaf else test.where) for p in refused.problems) from None
    node = test.keys.leaf("node")
    if node and node.value:
        nodes = {document.name for document in documents if document.kind is Kind.NODE}
        if node.value not in nodes:
            what, hint = f"there is no Node document called {node.value!r}", did_you_mean(str(node.value), nodes)
            raise Refused([Problem(where=node.where, what=what, hint=hint)])
        facts = as_node(facts, str(node.value), documents)
    if hostname := test.keys.value("hostname"):
        facts = replace(facts, hostname=str(hostname))
    labels = {name: strings(leaf.value) for name, leaf in test.keys.branch("labels").leaves()}
    return replace(facts, labels=labels, pinned=frozenset(labels))


def _compile(documents: tuple[Document, ...], facts: Facts, shipped: tuple[Document, ...]) -> Compiled | Refused:
    try:
        return compile(documents, facts, shipped=shipped)
    except Refused as refused:
        return refused


def _failures(test: DocumentTest, result: Compiled | Refused) -> Iterator[UnmetExpectation]:
    yield from _problem_failures(test, result.problems)
    if isinstance(result, Refused):
        return
    for key, wanted in (("layers", True), ("other-layers", False)):
        for name, leaf in test.keys.branch(key).leaves():
            if (name in result.resolved.layers) != wanted:
                what = f"the layer {name} does not match" if wanted else f"the layer {name} matches"
                yield UnmetExpectation(where=leaf.where, what=f"{what}; `ordainctl match` says why")
    for name, branch in test.keys.branch("units").branches():
        yield from _text_failures(f"the unit {name}", test.places[name], branch, _unit_text(name, result))
    for path, branch in test.keys.branch("files").branches():
        yield from _text_failures(f"the file {path}", test.places[path], branch, _file_text(path, result))


def _problem_failures(test: DocumentTest, problems: tuple[Problem, ...]) -> Iterator[UnmetExpectation]:
    codes = test.keys.branch("problems")
    for problem in problems:
        if problem.severity is not Severity.WARNING and problem.code not in codes:
            yield UnmetExpectation(where=test.where, what=f"{problem.what} [{problem.code}]", cause=str(problem.where))
    for code, leaf in codes.leaves():
        if code not in {problem.code for problem in problems}:
            yield UnmetExpectation(where=leaf.where, what=f"there is no problem with the code {code}")


def _unit_text(name: str, compiled: Compiled) -> str | None:
    """Return the text of a unit and its drop-ins as they are placed, None if the documents place none."""
    texts = [
        artifact.content
        for artifact in compiled.artifacts
        if isinstance(artifact, UnitFile) and artifact.path.partition("/")[2].split("/")[0] in (name, f"{name}.d")
    ]
    return "\n".join(texts) if texts else None


def _file_text(path: str, compiled: Compiled) -> str | None:
    """Return the text of a file, "" for one without a text (a link, a directory, a secret), None for no file."""
    for artifact in compiled.artifacts:
        if artifact.path == path and not isinstance(artifact, AbsentFile):
            return artifact.content if isinstance(artifact, RegularFile) else ""
    return None


def _text_failures(name: str, where: Where, wanted: Branch, text: str | None) -> Iterator[UnmetExpectation]:
    if wanted.value("state") == "absent":
        if text is not None:
            cause = next((cause for _, cause in _lines(text) if cause), "")
            yield UnmetExpectation(where=where, what=f"{name} is placed", cause=cause)
        return
    if text is None:
        yield UnmetExpectation(where=where, what=f"{name} is not placed")
        return
    lines = _lines(text)
    causes = dict(reversed(lines))
    for line, leaf in wanted.branch("contains").leaves():
        if line.strip() not in causes:
            key = line.strip().partition("=")[0] + "="
            other, cause = next((pair for pair in lines if key != line and pair[0].startswith(key)), ("", ""))
            but = f", but {other!r}" if other else ""
            yield UnmetExpectation(where=leaf.where, what=f"{name} does not contain {line!r}{but}", cause=cause)
    for line, leaf in wanted.branch("lacks").leaves():
        if line.strip() in causes:
            yield UnmetExpectation(where=leaf.where, what=f"{name} contains {line!r}", cause=causes[line.strip()])


def _lines(text: str) -> list[tuple[str, str]]:
    """Return each line of a file with the place that asks for it, "" if that is not known."""
    return [(line.strip(), f"{cause.path}:{cause.line}" if cause else "") for line, cause in lines_with_causes(text)]
