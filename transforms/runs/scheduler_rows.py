"""The systems that take runs: the rows `schedulers` and `systems` of the transformation database, merged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from ordain.transforms.document import transform_faults
from ordain.transforms.document.formats.pattern_syntax import BadPattern, names, parse
from ordain.transforms.document.keys.schema import sections
from ordain.transforms.errors import NOWHERE, Problem, Refused, Severity, Where, did_you_mean
from ordain.transforms.model import TIERS, Branch, Document, Kind, Leaf, TransformFault, Tree, strings
from ordain.transforms.resolve.merge import Rank, merge, rank

_SECTIONS = ("schedulers", "systems")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSystem:
    """A system that takes runs. ``row`` holds its own keys over those of its scheduler, one of all ``schedulers``."""

    name: str
    scheduler: str
    row: Branch
    schedulers: frozenset[str] = frozenset()

    def text(self, key: str, default: str = "") -> str:
        """Return the text of a key."""
        return str(self.row.value(key, default))

    def texts(self, key: str) -> Mapping[str, str]:
        """Return a map of texts, in order."""
        return {name: str(leaf.value) for name, leaf in self._leaves(key)}

    def patterns(self, key: str) -> Iterator[tuple[str, tuple[str, ...], Leaf]]:
        """Yield each entry of a map of patterns, in order: its name, its patterns and its leaf."""
        for name, leaf in self._leaves(key):
            yield name, tuple(text for text in strings(leaf.value) if text), leaf

    def words(self, key: str) -> tuple[tuple[str, ...], ...]:
        """Return the argument vectors of a key."""
        return vectors(self.row.leaf(key))

    def launcher(self, name: str) -> tuple[str, ...]:
        """Return the words of a launcher, nothing for an unknown one."""
        return next(iter(vectors(self.row.branch("launchers").leaf(name))), ())

    def queue(self, word: str) -> Branch | None:
        """Return the row of the queue with the neutral name ``word``."""
        queues = self.row.branch("queues")
        return queues.branch(word) if word in queues else None

    def _leaves(self, key: str) -> Iterator[tuple[str, Leaf]]:
        for name, child in self.row.branch(key).children.items():
            if isinstance(child, Leaf):
                yield name, child


def vectors(leaf: Leaf | None) -> tuple[tuple[str, ...], ...]:
    """Return the argument vectors of a command."""
    value = leaf.value if leaf else ()
    assert isinstance(value, tuple)
    return tuple(strings(vector) for vector in value)


VARIABLES = frozenset(
    """
    name shell unit nodes tasks with-tasks tasks-per-node one-node many-nodes serial cpus-per-task cpus-each-task
    cpus-per-node cpus memory memory-per-task memory-each-cpu memory-total memory-per-cpu with-memory gpus
    gpus-per-task gpus-by-task gpus-total gpu-type with-gpus features time no-time exclusive scratch account queue
    output errors joined mail-to mail-events indices index-range most-at-once clean-environment inherit-environment
    image mounts environment-names working-directory module source target id dependencies dependent script directives
    root unprivileged
    """.split()
)
"""Every variable of a pattern (docs/reference/runs.md)."""
_PATTERNS = ("directives", "dependencies", "exports")
_WORDS = ("container", "module-load", "copy", "submit", "status", "cancel", "log")


def wrong_patterns(system: RunSystem) -> Iterator[Problem]:
    """Yield a problem for each pattern of a system that is not one, or that names a variable that nothing sets."""
    rows = [(texts, leaf) for key in _PATTERNS for _, texts, leaf in system.patterns(key)]
    commands = [system.row.leaf(key) for key in _WORDS] + [leaf for _, leaf in system.row.branch("launchers").leaves()]
    rows += [(words, leaf) for leaf in commands if leaf for words in vectors(leaf)]
    for texts, leaf in rows:
        for text in texts:
            try:
                unknown = set(names(parse(text))) - VARIABLES
            except BadPattern as error:
                yield _bad_pattern(leaf, f"{text!r} is not a pattern: {error}")
                continue
            for name in sorted(unknown):
                hint = did_you_mean(name, VARIABLES) or "docs/reference/runs.md lists the variables"
                yield _bad_pattern(leaf, f"there is no variable {{{name}}}", hint)


def _bad_pattern(leaf: Leaf, what: str, hint: str = "") -> Problem:
    return Problem(where=leaf.where, what=what, hint=hint or "correct the row", code="BadTransform")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSystems:
    """All systems and schedulers of the database. ``faults`` are the doubtful rows."""

    tree: Branch
    faults: tuple[TransformFault, ...] = ()

    def names(self) -> tuple[str, ...]:
        """Return the names of the systems, sorted."""
        return tuple(sorted(self.tree.branch("systems")))

    def visible(self) -> tuple[str, ...]:
        """Return the names of the systems that `--all-systems` shows, sorted."""
        return tuple(name for name in self.names() if not self.tree.branch("systems").branch(name).value("hidden"))

    def system(self, name: str, where: Where = NOWHERE) -> RunSystem:
        """Return the system ``name``. Raises `Refused` if it is not described, or if a row of it is wrong."""
        systems, schedulers = self.tree.branch("systems"), self.tree.branch("schedulers")
        if wrong := [f.problem for f in self.faults if transform_faults.covers(f, f"systems/{name}")]:
            raise Refused(replace(problem, severity=Severity.ERROR) for problem in wrong)
        if name not in systems:
            hint = did_you_mean(name, systems) or f"known systems: {', '.join(self.names())}"
            what = f'unknown system "{name}" for runs'
            hint = f"{hint}; a Transform with `systems: {{{name}: {{scheduler: …}}}}` describes it"
            raise Refused([Problem(where=where, what=what, hint=hint, code="UnknownSystem")])
        own = systems.branch(name)
        scheduler = str(own.value("scheduler", ""))
        if wrong := [f.problem for f in self.faults if transform_faults.covers(f, f"schedulers/{scheduler}")]:
            raise Refused(replace(problem, severity=Severity.ERROR) for problem in wrong)
        if scheduler not in schedulers:
            leaf = own.leaf("scheduler") or own.here
            hint = did_you_mean(scheduler, schedulers) or f"known schedulers: {', '.join(sorted(schedulers))}"
            what = f"the system {name} has the scheduler {scheduler or '(none)'}, which no row describes"
            raise Refused([Problem(where=leaf.where, what=what, hint=hint, code="UnknownSystem")])
        row = _over(own, schedulers.branch(scheduler))
        system = RunSystem(name=name, scheduler=scheduler, row=row, schedulers=frozenset(schedulers))
        if bad := tuple(wrong_patterns(system)):
            raise Refused(bad)
        return system


def run_systems(transforms: Iterable[Document], own: Iterable[Document] = ()) -> tuple[RunSystems, tuple[Problem, ...]]:
    """Return the systems that ``transforms`` describe, and ``own``, those of the user, over them; and warnings.

    Only Transforms without ``match`` are read: the system of a run is not the machine that renders it.
    """
    layers: list[tuple[Document, Rank]] = []
    problems: list[Problem] = []
    faults: list[TransformFault] = []
    users = tuple(own)
    for document in (*transforms, *users):
        if document.kind is not Kind.TRANSFORM:
            continue
        rows = {name: child for name, child in document.sections.children.items() if name in _SECTIONS}
        if document.match:
            for child in rows.values():
                what = f"{child.where.pointer} has no effect in a Transform with match"
                hint = "put it into a separate Transform without match"
                problems.append(
                    Problem(where=child.where, what=what, hint=hint, code="Overridden", severity=Severity.WARNING)
                )
            continue
        faults += document.faults
        if rows:
            only = replace(document, sections=replace(document.sections, children=rows))
            order = rank(document, (0, 0))
            layers.append((only, (len(TIERS), *order[1:]) if document in users else order))
    tree, wrong = merge(layers, sections(Kind.TRANSFORM))
    for problem in wrong:
        if problem.severity is Severity.ERROR:
            row = transform_faults.row_of(problem.where.pointer)
            faults.append(TransformFault(pointer=row, problem=transform_faults.as_blocked(problem)))
    return RunSystems(tree=tree, faults=tuple(faults)), tuple(problems)


def _over(own: Branch, below: Branch) -> Branch:
    """Return ``below`` with the keys of ``own`` over it: maps are merged, anything else is replaced."""
    children: dict[str, Tree] = dict(below.children)
    for name, child in own.children.items():
        old = children.get(name)
        both = isinstance(child, Branch) and isinstance(old, Branch)
        children[name] = _over(child, old) if both else child  # type: ignore[arg-type] # mypy does not narrow both
    return replace(own, children=children)
