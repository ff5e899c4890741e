"""Converts a script for Slurm, PBS or LSF to a Run: its directives by a table of options, and then its commands.

    text ─▶ shebang, directives, body ─▶ options ─tables▶ RunDraft ◀─ leading cd, export and module load of the body

Each line becomes a key, goes to `native` in the scheduler's own words, stays in `script`, or is reported.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.errors import Where
from ordain.transforms.importing.document_draft import Plain
from ordain.transforms.runs.directive_lines import DirectiveForm, directive_form
from ordain.transforms.runs.run_draft import RunDraft
from ordain.transforms.runs.scheduler_rows import run_systems
from ordain.transforms.runs.shell_words import RESERVED


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

    ``options`` has a handler for each option; ``flags`` are options without a value; ``aliases`` maps short names.
    ``variables`` are neutral names for its variables, ``foreign`` matches the others, ``launchers`` are its programs.
    ``finish`` looks at all together.
    """

    name: str
    title: str
    options: Mapping[str, Handler]
    flags: frozenset[str]
    aliases: Mapping[str, str] = field(default_factory=dict)
    single_dash: bool = False
    inherits: bool = False
    submit_directory: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    foreign: re.Pattern[str]
    launchers: frozenset[str] = frozenset()
    finish: Callable[[RunDraft], None] = lambda draft: None


_INTERPRETER = re.compile(r"#!\s*(\S+)(?:\s+(.*\S))?\s*")
_COMMON_LAUNCHERS = frozenset({"mpirun", "mpiexec"})
_PLAIN_WORDS = re.compile(r"[^$`*?\[\]{}()<>|&;~\\!#\n]*")
_EXPORT = re.compile(r"export\s+([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_MODULE = re.compile(r"(?:module|ml)\s+(?:load|add)\s+(.+)|ml\s+((?!-|load\b|add\b|purge\b|list\b)\S.*)")


def convert(text: str, path: str, dialect: Dialect) -> RunDraft:
    """Return the draft of the Run that the script ``text`` is."""
    draft = RunDraft()
    body: list[tuple[int, str]] = []
    lines = _lines(text)
    form = form_of(dialect.name)
    directives = dict(form.read(lines))
    started = False
    for at, line in enumerate(lines):
        number = at + 1
        where = Where(path=path, line=number)
        if number == 1 and (match := _INTERPRETER.fullmatch(line)):
            _set_shell(draft, match, where)
            continue
        if directive := directives.get(at):
            for option in _options(line[directive.end() :], dialect, where, draft):
                _carry(option, dialect, draft)
        elif form.pattern.match(line):
            what = f"{line.strip()}: {dialect.title} does not read a directive after the first command"
            draft.not_carried(where, what, "if it is an option, move it above the first command")
        else:
            started = started or _is_command(line)
        if directive is None or started:
            body.append((number, line))  # a directive below a command may be data of the script
    if dialect.inherits and draft.get("inherit-environment") is None:
        draft.set("inherit-environment", True, Where(path=path))
    dialect.finish(draft)
    _add_body(draft, body, path, dialect)
    return draft


def _lines(text: str) -> list[str]:
    return [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]


def _is_command(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


@cache
def form_of(scheduler: str) -> DirectiveForm:
    """Return the form of the directives in scripts of a shipped scheduler."""
    form = directive_form(run_systems(shipped())[0].system(scheduler))
    assert form is not None
    return form


def has_directives(text: str, scheduler: str) -> bool:
    """Return whether ``scheduler`` reads a directive in the script ``text``."""
    return any(True for _ in form_of(scheduler).read(_lines(text)))


def _set_shell(draft: RunDraft, match: re.Match[str], where: Where) -> None:
    shell = match[1]
    if shell.endswith("/env") and match[2]:
        shell = match[2].split()[0]
        shell = f"/usr/bin/{shell}" if "/" not in shell else shell
        draft.not_carried(where, f"{match[0]}: the search for {match[2]} in PATH", f"`shell` is {shell}")
    elif match[2]:
        draft.not_carried(where, f"the options {match[2]} of {shell}", "write `set` commands at the top of the script")
    draft.set("shell", shell, where)


def _options(text: str, dialect: Dialect, where: Where, draft: RunDraft) -> Iterator[Option]:
    """Yield the options of a directive line."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError as error:
        draft.not_carried(where, f"{text.strip()}: {error}", "close the quote")
        return
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word.startswith("--") and not dialect.single_dash:
            name, equals, value = word[2:].partition("=")
            given: str | None = value if equals else None
        elif word.startswith("-") and len(word) > 1:
            name, given = (word[1:], None) if dialect.single_dash else (word[1], word[2:].removeprefix("=") or None)
            if dialect.single_dash and name not in dialect.options and name not in dialect.flags:
                known = [o for o in (*dialect.options, *dialect.flags) if len(o) == 1 and name.startswith(o)]
                name, given = (known[0], name[1:] or None) if known else (name, None)
        else:
            draft.not_carried(where, f"{word}: a word that is not an option of {dialect.title}", "remove it")
            continue
        name = dialect.aliases.get(name, name)
        takes_value = name not in dialect.flags
        if given is None and takes_value and at < len(words) and not words[at].startswith("-"):
            given = words[at]
            at += 1
        dashes = "--" if len(name) > 1 and not dialect.single_dash else "-"
        shown = f"{dashes}{name}"
        if given is not None:
            shown += ("=" if dashes == "--" else " ") + shlex.quote(given)
        yield Option(name, given, shown, where)


def _carry(option: Option, dialect: Dialect, draft: RunDraft) -> None:
    draft.accounted.add(option.where.line)  # a handler may find the default of a Run
    handler = dialect.options.get(option.name)
    if handler is None or not handler(draft, option):
        draft.add(f"native/{dialect.name}", option.text, option.where)


# The body


def _add_body(draft: RunDraft, body: Sequence[tuple[int, str]], path: str, dialect: Dialect) -> None:
    rest = _leading_keys(draft, list(body), path, dialect)
    while rest and not rest[0][1].strip():
        rest.pop(0)
    while rest and not rest[-1][1].strip():
        rest.pop()
    commands = [(number, line) for number, line in rest if _is_command(line)]
    if not commands:
        draft.not_carried(Where(path=path), "the script has no command", "add `command`")
        return
    if len(commands) == 1 and _set_command(draft, commands[0], path, dialect):
        return
    lines = []
    for number, line in rest:
        where = Where(path=path, line=number)
        for theirs, ours in dialect.variables.items():
            line = re.sub(rf"(?<=\$){theirs}\b|(?<=\$\{{){theirs}\b", ours, line)
        if not line.lstrip().startswith("#"):
            for match in dict.fromkeys(m[0] for m in dialect.foreign.finditer(line)):
                hint = f"only {dialect.title} sets it: use a variable that starts with ORDAIN_, or write the number"
                draft.not_carried(where, f"the variable {match} stays in the script", hint)
            for launcher in sorted(dialect.launchers & set(re.findall(r"[\w./-]+", line))):
                hint = f"only {dialect.title} has it: use `command` or `steps` with `launcher: mpi`"
                draft.not_carried(where, f"the command {launcher} stays in the script", hint)
        lines.append(line)
        draft.accounted.add(number)
    draft.set("script", "\n".join(lines) + "\n", Where(path=path, line=rest[0][0]))


def _leading_keys(draft: RunDraft, body: list[tuple[int, str]], path: str, dialect: Dialect) -> list[tuple[int, str]]:
    """Take `cd`, `export` and `module load` with plain words from the top of the body, and return the rest."""
    comments: list[tuple[int, str]] = []
    taken = False
    rest = list(body)
    while rest:
        number, line = rest[0]
        stripped = line.strip()
        if stripped.startswith("#"):
            comments.append(rest[0])
        elif stripped:
            if not _take_line(draft, stripped, Where(path=path, line=number), dialect):
                break
            taken = True
        rest.pop(0)
    return [*comments, *rest] if taken else body


def _take_line(draft: RunDraft, line: str, where: Where, dialect: Dialect) -> bool:
    if dialect.submit_directory and re.fullmatch(rf'cd "?\$\{{?{dialect.submit_directory}\}}?"?', line):
        draft.accounted.add(where.line)
        return True  # the default of a Run
    if not _PLAIN_WORDS.fullmatch(line):
        return False
    try:
        words = shlex.split(line)
    except ValueError:
        return False
    if match := _EXPORT.fullmatch(line):
        # A module that is loaded before may have set a list of directories, which the line replaces or extends.
        after_modules = "modules" in draft.keys and (match[1].endswith("PATH") or match[1].startswith("LD_"))
        if len(words) != 2 or after_modules or match[1] in RESERVED or match[1].upper().startswith("ORDAIN_"):
            return False
        draft.set_entry("environment", match[1], words[1].partition("=")[2], where)
        return True
    if match := _MODULE.fullmatch(line):
        for module in (match[1] or match[2]).split():
            modules = draft.keys.get("modules")
            stem = module.partition("/")[0]
            key = module if isinstance(modules, dict) and stem in modules else stem
            draft.set_entry("modules", key, module, where)
        return True
    if words[0] == "cd" and len(words) == 2 and words[1].startswith("/"):
        draft.set("working-directory", words[1], where)
        return True
    return False


def _set_command(draft: RunDraft, command: tuple[int, str], path: str, dialect: Dialect) -> bool:
    """Set `command` if the only command of the script has plain words. Return False if it must stay a script."""
    number, line = command
    if not _PLAIN_WORDS.fullmatch(line):
        return False
    try:
        words = shlex.split(line)
    except ValueError:
        return False
    where = Where(path=path, line=number)
    if words[0] in dialect.launchers | _COMMON_LAUNCHERS:
        if len(words) < 2 or words[1].startswith("-"):
            return False
        draft.set("launcher", "mpi", where)
        words = words[1:]
    elif "=" in words[0]:
        return False
    value: list[Plain] = [*words]
    draft.set("command", value, where)
    draft.keys.pop("shell", None)
    return True


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
