"""The options of scripts for a scheduler: the tables of a dialect, and handlers that several dialects share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.errors import Where
from ordain.transforms.lazy_patterns import LazyPattern
from ordain.transforms.runs.directive_lines import DirectiveForm, directive_form
from ordain.transforms.runs.run_draft import RunDraft
from ordain.transforms.runs.scheduler_rows import run_systems


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a directive line, by its name without dashes; ``value`` is None for a flag."""

    name: str
    value: str | None
    text: str
    where: Where


Handler = Callable[[RunDraft, Option], bool]
"""Sets the keys of an option. Returns False if it cannot, and the option is kept in the scheduler's own words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """The options of one scheduler and the commands of its scripts; ``name`` is its row, which has its directive lines.

    ``options`` has a handler for each option; ``flags`` are options without a value; ``aliases`` maps short names;
    ``words`` are words that are not options, with a hint. ``attached``: a value may follow an option without a blank.
    ``finish`` looks at all options together.

    ``variables`` are neutral names for its variables; those ``of_element`` have another value in each element of an
    array, and no neutral name there; ``foreign`` matches all. ``commands`` are its programs. ``at_home``: a job starts
    in the home directory.
    """

    name: str
    title: str
    options: Mapping[str, Handler]
    flags: frozenset[str]
    aliases: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    single_dash: bool = False
    attached: bool = False
    inherits: bool = False
    submit_directory: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    foreign: LazyPattern[str]
    of_element: frozenset[str] = frozenset()
    commands: frozenset[str] = frozenset()
    at_home: bool = False
    finish: Callable[[RunDraft], None] = lambda draft: None


def script_lines(text: str) -> list[str]:
    """Return the lines of a script, without marks of its form."""
    return [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]


def is_command(line: str) -> bool:
    """Return whether a line of a script is neither empty nor a comment."""
    return bool(line.strip()) and not line.lstrip().startswith("#")


@cache
def form_of(scheduler: str) -> DirectiveForm:
    """Return the form of the directives in scripts of a shipped scheduler."""
    form = directive_form(run_systems(shipped())[0].system(scheduler))
    assert form is not None
    return form


def has_directives(text: str, scheduler: str) -> bool:
    """Return whether ``scheduler`` reads a directive in the script ``text``."""
    return any(True for _ in form_of(scheduler).read(script_lines(text)))


# Values that several schedulers write alike


def text_to(pointer: str) -> Handler:
    """Return the handler that sets a text."""

    def handle(draft: RunDraft, option: Option) -> bool:
        if not option.value:
            return False
        draft.set(pointer, option.value, option.where)
        return True

    return handle


def number_to(pointer: str) -> Handler:
    """Return the handler that sets a whole number; another form is kept in the scheduler's own words."""

    def handle(draft: RunDraft, option: Option) -> bool:
        if not option.value or not re.fullmatch(r"[1-9][0-9]*", option.value):
            return False
        draft.set(pointer, int(option.value), option.where)
        return True

    return handle


def name(draft: RunDraft, option: Option) -> bool:
    """Set the name of the run."""
    draft.set_name(option.value or "", option.where)
    return True


def dependency(draft: RunDraft, option: Option) -> bool:
    """Report a dependency with ids, because they are those of other jobs; another one is kept."""
    if not re.search(r"[0-9]", option.value or ""):
        return False  # such as singleton
    hint = "write `after: [RUN]` with the Run of that job; `run submit` fills in the ids"
    draft.not_carried(option.where, f"{option.text}: the ids of other jobs", hint)
    return True


def true_to(pointer: str) -> Handler:
    """Return the handler that sets a flag."""

    def handle(draft: RunDraft, option: Option) -> bool:
        if option.value:
            return False
        draft.set(pointer, True, option.where)
        return True

    return handle


def indices_to_array(draft: RunDraft, text: str, where: Where) -> bool:
    """Set the array from ``1-10:2%4``."""
    match = re.fullmatch(r"([0-9:,-]+)(?:%([1-9][0-9]*))?", text)
    if match is None:
        return False
    draft.set("array/indices", match[1], where)
    if match[2]:
        draft.set("array/most-at-once", int(match[2]), where)
    return True


def file_name(text: str, tokens: Mapping[str, str], mark: str) -> str | None:
    """Return a file name with our tokens instead of theirs, None if it has others, which begin with ``mark``.

    >>> file_name("out.%j_%a", {"%j": "{job}", "%a": "{index}"}, "%")
    'out.{job}_{index}'
    """
    pieces = re.split("(" + "|".join(map(re.escape, tokens)) + ")", text)
    named = [tokens[p] if p in tokens else p.replace("{", "{{").replace("}", "}}") for p in pieces]
    others = any(mark and mark in piece for piece in pieces if piece not in tokens)
    return None if others else "".join(named)


def clock(text: str) -> str | None:
    """Return a time of the form ``H:M:S`` or ``M:S`` or seconds as a time span.

    >>> clock("01:30:00"), clock("90"), clock("10:30")
    ('1h 30min', '90s', '10min 30s')
    """
    parts = text.split(":")
    if not all(re.fullmatch(r"[0-9]{1,9}", part) for part in parts) or len(parts) > 3:
        return None
    numbers = [0] * (3 - len(parts)) + [int(part) for part in parts]
    if len(parts) == 1:
        return f"{numbers[2]}s"
    return span(numbers[0] * 3600 + numbers[1] * 60 + numbers[2])


def span(seconds: int) -> str:
    """Return seconds as a time span for people."""
    units = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        number, seconds = divmod(seconds, size)
        if number:
            units.append(f"{number}{unit}")
    return " ".join(units) or "0s"


def size_text(text: str, units: str = "kmgt", default: str = "m") -> str | None:
    """Return a size with a unit in powers of 1024, such as ``64gb``, in our form; None for another form.

    >>> size_text("64gb"), size_text("4000"), size_text("2G")
    ('64G', '4000M', '2G')
    """
    match = re.fullmatch(rf"([0-9]+)\s*([{units}]?)(?:b|B|iB)?", text.strip(), re.IGNORECASE)
    if match is None:
        return None
    return f"{match[1]}{(match[2] or default).upper()}"


def later(draft: RunDraft, option: Option) -> bool:
    """Leave an option to ``finish``, which knows all of them."""
    draft.pending.append((option.name, option.value or "", option.where))
    return True


def variables(separator: str) -> Handler:
    """Return the handler that sets the variables of a list NAME=VALUE; a bare NAME needs the submitter's value."""

    def handle(draft: RunDraft, option: Option) -> bool:
        for word in (option.value or "").split(separator):
            variable, equals, value = word.partition("=")
            if equals:
                draft.set_entry("environment", variable, value.strip("\"'"), option.where)
            else:
                hint = "write its value in `environment`, or set `inherit-environment: true`"
                draft.not_carried(option.where, f"the variable {word} of the shell that submits", hint)
        return True

    return handle
