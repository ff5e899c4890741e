"""Runs tests of documents: compiles the documents for the machines of the tests, and compares.

bytes ─read_tests─▶ DocumentTest ─run_tests─▶ SuiteResult, with a failure for each expectation that does not hold
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from ordain.transforms.artifacts import AbsentFile, RegularFile, UnitFile
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.names import shared_versions
from ordain.transforms.compile import compile
from ordain.transforms.document.formats.fact_table import FACT_TABLE, SITE
from ordain.transforms.document.text.node import pointer_below
from ordain.transforms.document_tests.coverage import Coverage, Part, coverage, reached_by_match, used_rows
from ordain.transforms.document_tests.golden_texts import differences, golden_path, golden_text
from ordain.transforms.document_tests.read_tests import DocumentTest
from ordain.transforms.errors import Problem, Refused, Severity, Where, did_you_mean
from ordain.transforms.model import Branch, Compiled, Document, Facts, Kind, strings
from ordain.transforms.package_set import PackageState
from ordain.transforms.render.cause_comments import lines_with_causes

MAX_CASES = 10_000
"""The most pairs of a test and a system in one run."""


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
    """The result of one test on one system.

    ``golden`` is the text for ``golden: true``, if it differs from that of the earlier run at ``golden_path``.
    """

    test: str
    system: str
    where: Where
    failures: tuple[UnmetExpectation, ...]
    golden_path: str = ""
    golden: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteResult:
    """The results of all tests, and the parts of the documents that they reached."""

    cases: tuple[CaseResult, ...]
    coverage: Coverage

    @property
    def failed(self) -> tuple[CaseResult, ...]:
        """Return the results with a failure."""
        return tuple(case for case in self.cases if case.failures)


@dataclass(frozen=True, slots=True)
class _Machine:
    """The result of the documents on one machine, and the parts of them that it reached."""

    result: Compiled | Refused
    reached: frozenset[Part]


def run_tests(
    tests: Iterable[DocumentTest],
    documents: tuple[Document, ...],
    shipped: tuple[Document, ...],
    as_node: Callable[[Facts, str, Iterable[Document]], Facts],
    folder: str,
    golden_of: Callable[[str], str | None],
) -> SuiteResult:
    """Return the results of ``tests`` on ``documents``; machines that are alike are compiled once.

    ``as_node`` gives the facts of a machine that has a Node. ``folder`` is that of the tests, and ``golden_of`` gives
    the golden text at a path in it, None if there is none. Raises `Refused` for an unknown system or Node, or for too
    many cases.
    """
    pairs = [(test, system) for test in tests for system in test.systems]
    if len(pairs) > MAX_CASES:
        what = f"the tests have {len(pairs):,} pairs of a test and a system; one run has at most {MAX_CASES:,}"
        raise Refused([Problem(where=pairs[0][0].where, what=what, hint="test fewer systems in one run")])
    shared = shared_versions((*shipped, *documents))
    machines: dict[str, _Machine] = {}
    cases = []
    for test, system in pairs:
        facts = _facts(test, system, documents, as_node)
        if (key := repr(facts)) not in machines:
            machines[key] = _machine(documents, facts, shared, shipped)
        cases.append(_case(test, system, machines[key].result, f"{folder}/{golden_path(test.name, system)}", golden_of))
    reached = (part for machine in machines.values() for part in machine.reached)
    return SuiteResult(cases=tuple(cases), coverage=coverage(documents, reached))


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
    given = test.keys.branch("facts")
    others = {
        name.replace("-", "_"): leaf.value
        for name, leaf in given.leaves()
        if leaf.value is not None and name not in FACT_TABLE
    }
    if mac := given.branch("mac"):
        others["mac"] = tuple(mac)
    details = {name: strings(leaf.value) for name, leaf in given.leaves() if name in FACT_TABLE and leaf.value}
    details |= {name: tuple(branch) for name, branch in given.branches() if name in FACT_TABLE}
    details |= {f"{SITE}{name}": strings(leaf.value) for name, leaf in test.keys.branch("site-facts").leaves()}
    labels = {name: strings(leaf.value) for name, leaf in test.keys.branch("labels").leaves()}
    return replace(facts, labels=labels, pinned=frozenset(labels), details=details, **others)  # type: ignore[arg-type]


def _machine(
    documents: tuple[Document, ...], facts: Facts, shared: Mapping[str, str], shipped: tuple[Document, ...]
) -> _Machine:
    reached = reached_by_match(documents, facts, shared)
    try:
        compiled = compile(documents, facts, shipped=shipped)
    except Refused as refused:
        return _Machine(refused, reached)
    return _Machine(compiled, reached | used_rows(compiled.catalog_uses))


def _case(
    test: DocumentTest, system: str, result: Compiled | Refused, path: str, golden_of: Callable[[str], str | None]
) -> CaseResult:
    failures = tuple(_failures(test, result))
    case = CaseResult(test=test.name, system=system, where=test.where, failures=failures)
    golden = test.keys.leaf("golden")
    if not golden or not golden.value or isinstance(result, Refused):
        return case
    text, earlier = golden_text(result.artifacts), golden_of(path)
    if text == earlier:
        return replace(case, golden_path=path)
    differing = (
        [UnmetExpectation(where=golden.where, what=f"{path} is missing; `ordainctl test --update` writes it")]
        if earlier is None
        else [
            UnmetExpectation(where=Where(path=path, line=difference.line), what=difference.what, cause=difference.cause)
            for difference in differences(earlier, result.artifacts)
        ]
    )
    return replace(case, failures=(*failures, *differing), golden_path=path, golden=text)


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
    for name, branch in test.keys.branch("packages").branches():
        yield from _package_failures(name, branch, result)


def _problem_failures(test: DocumentTest, problems: tuple[Problem, ...]) -> Iterator[UnmetExpectation]:
    codes = test.keys.branch("problems")
    for problem in problems:
        if problem.severity is not Severity.WARNING and problem.code not in codes:
            yield UnmetExpectation(where=test.where, what=f"{problem.what} [{problem.code}]", cause=str(problem.where))
    for code, leaf in codes.leaves():
        if code not in {problem.code for problem in problems}:
            yield UnmetExpectation(where=leaf.where, what=f"there is no problem with the code {code}")


def _package_failures(name: str, wanted: Branch, result: Compiled) -> Iterator[UnmetExpectation]:
    """Yield a failure for each way in which the documents do not want the package ``name`` as ``wanted`` says."""
    item = pointer_below("packages", name)
    installed = {p.name: p for p in result.packages.wanted if p.state is PackageState.PRESENT}
    package = installed.get(name) or next((p for p in installed.values() if p.item == item), None)
    entries = result.resolved.tree.branch("packages").branches()
    cause = str(
        next((entry.where for key, entry in entries if package and pointer_below("packages", key) == package.item), "")
    )
    if package is None or wanted.value("state") == "absent":
        if (package is None) != (wanted.value("state") == "absent"):
            what = f"the package {name} is {'installed' if package else 'not installed'}"
            yield UnmetExpectation(where=wanted.where, what=what, cause=cause)
        return
    for key, value in (("version", package.version or "any"), ("hold", package.hold)):
        leaf = wanted.leaf(key)
        if leaf is not None and leaf.value is not None and leaf.value != value:
            what = f"the package {name} has {key}: {str(value).lower()}, not {str(leaf.value).lower()}"
            yield UnmetExpectation(where=leaf.where, what=what, cause=cause)


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
