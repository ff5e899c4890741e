"""The directives of a job: the patterns of the scheduler that its values fill, and the keys that none expresses."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ordain.transforms.catalog.shipped import DIRECTORY
from ordain.transforms.document.formats.pattern_syntax import BadPattern, Variable, names, parse
from ordain.transforms.errors import Problem
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Leaf
from ordain.transforms.runs.job_numbers import EXPRESSED_BY
from ordain.transforms.runs.patterns import Filled, PatternValue, fill
from ordain.transforms.runs.run_model import NO_LEAF, ScriptLine
from ordain.transforms.runs.scheduler_rows import RunSystem

_PLAIN = lazy_pattern(r"[A-Za-z0-9_@%+=:,./^$-]+")
_OPTION = r"(?:^|(?<=\s))--?[A-Za-z][\w-]*"
_PLACES = frozenset({"resources/nodes", "resources/tasks", "resources/tasks-per-node"})
_NAME = ""
"""The pointer of the name of a run, which native words may replace."""
_PLACE_NUMBERS = frozenset({"nodes", "tasks", "tasks-per-node", "serial", "cpus"})
OUTPUT_TOKENS = ("job", "index", "run")


@dataclass(frozen=True, slots=True)
class DirectiveForm:
    """The lines of a script that a scheduler reads as directives.

    ``pattern`` matches the beginning of such a line. ``whole_script``: it reads all lines, also those after the first
    command.
    """

    pattern: re.Pattern[str]
    whole_script: bool

    def read(self, lines: Iterable[str]) -> Iterator[tuple[int, re.Match[str]]]:
        """Yield each line that the scheduler reads as a directive, by its place among ``lines``, with its match."""
        for at, line in enumerate(lines):
            if match := self.pattern.match(line):
                yield at, match
            elif not self.whole_script and line.strip() and not line.lstrip().startswith("#"):
                return


def directive_form(system: RunSystem) -> DirectiveForm | None:
    """Return the form of the directives of ``system``, None if it reads none in a script."""
    pattern = system.text("directive-lines")
    if not pattern:
        return None
    return DirectiveForm(re.compile(pattern), system.text("directives-until", "end") == "end")


class CannotQuote(ValueError):
    """A directive of the scheduler cannot hold a text."""


def quote_for(system: RunSystem, text: str) -> str:
    """Return ``text`` as a value in a directive of ``system``. Raises `CannotQuote`."""
    kind = system.text("quoting", "none")
    if _PLAIN.fullmatch(text):
        return text
    if text.isprintable() and text:
        if kind == "shell":
            return shlex.quote(text)
        if kind == "double" and not re.search(r'["\\`$]', text):
            return f'"{text}"'
    raise CannotQuote(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectiveLine:
    """A directive: its name in the row, ``""`` for one of `native`; its line, if it needs one; and its variables."""

    name: str
    line: ScriptLine | None
    used: frozenset[str] = frozenset()


@dataclass(slots=True)
class Directives:
    """The directives of one job as they are found.

    ``causes`` are the values of documents that a variable comes from, the main one first; ``facts`` are those of the
    numbers.
    """

    system: RunSystem
    values: dict[str, PatternValue]
    causes: dict[str, tuple[Leaf, ...]]
    facts: frozenset[str] = frozenset()
    entries: list[DirectiveLine] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def lines(self) -> tuple[ScriptLine, ...]:
        """Return the lines, in order."""
        return tuple(directive.line for directive in self.entries if directive.line)

    @property
    def used(self) -> set[str]:
        """Return the variables that the directives express."""
        return {name for directive in self.entries for name in directive.used}

    @property
    def prefix(self) -> str:
        """Return the beginning of each line, "" if directives are arguments."""
        return self.system.text("prefix")

    def add_all(self) -> None:
        """Add the line of each directive of the scheduler that the values fill."""
        in_script = self.system.row.value("prefix") is not None
        quoting = (lambda text: quote_for(self.system, text)) if in_script else str
        for name, patterns, leaf in self.system.patterns("directives"):
            try:
                filled = self._first(patterns, quoting)
            except BadPattern as error:
                what = f"the directive {name} of {self.system.name} has a wrong pattern: {error}"
                self.problems.append(Problem(where=leaf.where, what=what, code="BadTransform"))
            except CannotQuote as error:
                self._cannot_quote(patterns, str(error))
            else:
                if filled:
                    cause, *more = with_site((*causes_of(filled.used, self.causes),), leaf) or (leaf,)
                    for text in filled.texts:
                        line = ScriptLine(text=f"{self.prefix}{text}", cause=cause, more=tuple(more)) if text else None
                        self.entries.append(DirectiveLine(name=name, line=line, used=filled.used))

    def _first(self, patterns: tuple[str, ...], quoting: object) -> Filled | None:
        for pattern in patterns:
            if filled := fill(pattern, self.values, quoting):  # type: ignore[arg-type] # a lambda has no type
                return filled
        return None

    def _cannot_quote(self, patterns: tuple[str, ...], text: str) -> None:
        variables = (name for pattern in patterns for name in names(parse(pattern)) if self.values.get(name) == text)
        leaf = self.cause_of(next(variables, ""))
        what = f"a directive of {self.system.name} cannot hold {text!r}"
        hint = "use letters, digits and - _ . / only"
        self.problems.append(Problem(where=leaf.where, what=what, hint=hint, code="Encode"))

    def cause_of(self, variable: str) -> Leaf:
        """Return the main value of a document that a variable comes from."""
        return next(iter(self.causes.get(variable, ())), NO_LEAF)

    def add_native(self, texts: Iterable[str], cause: Leaf) -> None:
        """Add directives in the scheduler's own words. They replace defaults, and contradict keys of the run."""
        for text in texts:
            kept: list[DirectiveLine] = []
            for directive in self.entries:
                ours = directive.line.text.removeprefix(self.prefix) if directive.line else ""
                same = self._same(directive.name, ours, text)
                default = self._is_default(directive)
                if default and (same or self._names("default-unless", directive.name, text)):
                    if directive.used & _PLACE_NUMBERS:
                        self._forget_places()
                    continue
                kept.append(directive)
                if same and directive.line:
                    pointer = directive.line.cause.where.pointer
                    what = f"{text} sets what {pointer} sets with {ours}"
                    hint = f"remove one of them; {pointer} holds for every system"
                    self.problems.append(Problem(where=cause.where, what=what, hint=hint, code="NativeConflict"))
            line = ScriptLine(text=f"{self.prefix}{text}", cause=cause)
            self.entries = [*kept, DirectiveLine(name="", line=line)]

    def _is_default(self, directive: DirectiveLine) -> bool:
        """Return whether no key of the run sets a value of a directive: it follows from keys that others say, too."""
        causes = {
            leaf.where.pointer for name in directive.used for leaf in self.causes.get(name, ()) if not is_row(leaf)
        }
        own = {pointer.rpartition("/")[2] for pointer in causes} & directive.used
        rest = frozenset(name for other in self.entries if other is not directive for name in other.used) | self.facts
        said = not any(unexpressed(rest, EXPRESSED_BY[pointer]) for pointer in causes if pointer in EXPRESSED_BY)
        return bool(directive.name) and causes <= {*_PLACES, _NAME} and not own and said

    def _forget_places(self) -> None:
        """Remove the places that the run does not set, because native words set them; a launcher must not use them."""
        for pointer in _PLACES:
            name = pointer.rpartition("/")[2]
            if not any(leaf.where.pointer == pointer for leaf in self.causes.get(name, ())):
                self.values.pop(name, None)
        if "tasks" not in self.values:
            self.values.pop("with-tasks", None)

    def _names(self, key: str, name: str, native: str) -> bool:
        pattern = self.system.texts(key).get(name)
        return bool(pattern and re.search(rf"(?:^|\s)(?:{pattern})", native))

    def _same(self, name: str, ours: str, native: str) -> bool:
        if not name:
            return False
        if self._names("same-options", name, native):
            return True
        pattern = self.system.text("option") or _OPTION
        options, own = ({" ".join(m[0].split()) for m in re.finditer(pattern, t)} for t in (native, ours))
        return bool(options & own)

    def check_values(self) -> None:
        """Add a problem for each value that the scheduler does not accept."""
        for name, wanted in self.system.texts("accepts").items():
            value = self.values.get(name)
            if isinstance(value, str) and not re.fullmatch(wanted, value):
                leaf = self.cause_of(name)
                what = f"{self.system.name} does not accept {value!r} as {name}"
                hint = self.system.texts("hints").get(leaf.where.pointer) or f"it must match {wanted}"
                self.problems.append(Problem(where=leaf.where, what=what, hint=hint, code="Encode"))


def causes_of(variables: Iterable[str], causes: Mapping[str, tuple[Leaf, ...]]) -> tuple[Leaf, ...]:
    """Return every value of a document that ``variables`` come from, in the order of the documents."""
    leaves = {leaf.where: leaf for name in sorted(variables) for leaf in causes.get(name, ())}
    return tuple(leaves[where] for where in sorted(leaves, key=lambda w: (w.path, w.line, w.column)))


def with_site(causes: tuple[Leaf, ...], row: Leaf | None) -> tuple[Leaf, ...]:
    """Return ``causes`` and the row that gave their words, unless it is a shipped one."""
    return causes if row is None or row.where.path.startswith(f"{DIRECTORY}/") else (*causes, row)


def is_row(leaf: Leaf) -> bool:
    """Return whether a value comes from the database, and not from a Run."""
    return leaf.where.pointer.startswith(("schedulers/", "systems/"))


def names_in_directives(system: RunSystem) -> frozenset[str]:
    """Return every variable that a directive of ``system`` can use."""
    return frozenset(
        name for _, patterns, _ in system.patterns("directives") for p in patterns for name in names(parse(p))
    )


def hint_for(system: RunSystem, key: str) -> str:
    """Return the remedy for a key that ``system`` cannot express."""
    hints = system.texts("hints")
    usual = f"remove it for this system, or add a directive for it to schedulers/{system.scheduler} in a Transform"
    return hints.get(key) or hints.get(key.partition("/")[0]) or usual


def unsupported(system: RunSystem, key: str, leaf: Leaf, shown: str = "") -> Problem:
    """Return the problem that ``system`` cannot express a key of a run, with the value ``shown``."""
    what = f"{system.name} cannot express {shown or 'this key'}"
    return Problem(where=leaf.where, what=what, hint=hint_for(system, key), code="Unsupported")


def output_parts(leaf: Leaf, *, elements: bool) -> tuple[str | Variable, ...]:
    """Return the parts of a file name with tokens. Raises `BadPattern`."""
    parts: list[str | Variable] = []
    for part in parse(str(leaf.value)):
        if isinstance(part, Variable) and not part.form and part.name in OUTPUT_TOKENS:
            if part.name == "index" and not elements:
                raise BadPattern("{index} needs an array or parameters; this run has one element")
            parts.append(part)
        elif isinstance(part, str):
            parts.append(part)
        else:
            raise BadPattern(
                f"a file name may hold {', '.join(f'{{{t}}}' for t in OUTPUT_TOKENS)}; write {{{{ for a brace"
            )
    return tuple(parts)


def directive_path(
    key: str, parts: tuple[str | Variable, ...], fixed: Mapping[str, str], system: RunSystem, *, array: bool
) -> str | None:
    """Return the file name of ``key`` in the scheduler's own form, None if a directive cannot express it.

    ``fixed`` are the texts of tokens that are known already.
    """
    tokens, escapes = system.texts("output-tokens"), system.texts("output-escapes")
    special = {token[0] for token in tokens.values() if token} - escapes.keys()
    text = ""
    for part in parts:
        if isinstance(part, str) or part.name in fixed:
            literal = part if isinstance(part, str) else fixed[part.name]
            if special & set(literal):
                return None
            text += "".join(escapes.get(char, char) for char in literal)
        elif array and part.name == "job" and "array-job" in tokens:
            text += tokens["array-job"]
        elif part.name in tokens:
            text += tokens[part.name]
        else:
            return None
    try:
        if system.row.value("prefix") is not None:
            quote_for(system, text)
    except CannotQuote:
        return None
    return text if re.fullmatch(system.texts("accepts").get(key, ".*"), text) else None


def unexpressed(used: frozenset[str], sets: tuple[frozenset[str], ...]) -> bool:
    """Return whether none of ``sets`` was used as a whole."""
    return not any(names <= used for names in sets)


def mail_words(leaf: Leaf, system: RunSystem) -> Iterator[str | Problem]:
    """Yield the scheduler's word for each event, or a problem."""
    words = system.texts("mail-events")
    assert isinstance(leaf.value, tuple)
    for event in leaf.value:
        if str(event) in words:
            yield words[str(event)]
        elif words:
            yield unsupported(system, "mail/on", leaf, str(event))
