"""Converts a script for Slurm, PBS or LSF to a Run: its directives by a table of options, and then its commands.

    text ─▶ shebang, directives, body ─▶ options ─tables▶ RunDraft ◀─script_body─ leading commands, one command, script

Each line becomes a key, goes to `native` in the scheduler's own words, stays in `script`, or is reported.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from ordain.transforms.decimal_numbers import LONG_NUMBER
from ordain.transforms.errors import Where
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.runs.run_draft import RunDraft
from ordain.transforms.runs.script_body import add_body
from ordain.transforms.runs.script_options import Dialect, Option, form_of, is_command, script_lines
from ordain.transforms.runs.shell_words import POSIX_SHELL

_INTERPRETER = lazy_pattern(r"#!\s*(\S+)(?:\s+(.*\S))?\s*")
_SET_OPTIONS = lazy_pattern(r"-[abefhkmnuvxBCEHPT]+")
"""Options of a shell that its command `set` has, too."""


def convert(text: str, path: str, dialect: Dialect) -> RunDraft:
    """Return the draft of the Run that the script ``text`` is."""
    draft = RunDraft()
    body: list[tuple[int, str]] = []
    lines = script_lines(text)
    form = form_of(dialect.name)
    directives = dict(form.read(lines))
    started = False
    for at, line in enumerate(lines):
        number = at + 1
        where = Where(path=path, line=number)
        if number == 1 and (match := _INTERPRETER.fullmatch(line)):
            body += [(number, command)] if (command := _set_shell(draft, match, where)) else []
            continue
        if directive := directives.get(at):
            for option in _options(line[directive.end() :], dialect, where, draft):
                _carry(option, dialect, draft)
        elif form.pattern.match(line):
            what = f"{line.strip()}: {dialect.title} does not read a directive after the first command"
            draft.not_carried(where, what, "if it is an option, move it above the first command")
        else:
            started = started or is_command(line)
        if directive is None or started:
            body.append((number, line))  # a directive below a command may be data of the script
    if dialect.inherits and draft.get("inherit-environment") is None:
        draft.set("inherit-environment", True, Where(path=path))
    dialect.finish(draft)
    add_body(draft, body, path, dialect)
    return draft


def _set_shell(draft: RunDraft, match: re.Match[str], where: Where) -> str:
    """Set the shell from the first line of the script. Return a command that has the effect of its options."""
    shell, options = match[1], match[2] or ""
    line = ""
    if shell.endswith("/env") and options:
        shell = options.split()[0]
        shell = f"/usr/bin/{shell}" if "/" not in shell else shell
        draft.not_carried(where, f"{match[0]}: the search for {options} in PATH", f"`shell` is {shell}")
    elif _SET_OPTIONS.fullmatch(options) and POSIX_SHELL.fullmatch(shell.rpartition("/")[2]):
        line = f"set {options}"
    elif options:
        hint = "the run starts its shell without options; for others, name a program of your own as `shell`"
        draft.not_carried(where, f"the options {options} of {shell}", hint)
    draft.set("shell", shell, where)
    return line


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
            known = (*dialect.options, *dialect.flags)
            if dialect.single_dash and name not in known and (dialect.attached or name[1:2].isdigit()):
                name, given = (name[0], name[1:] or None) if name[0] in known else (name, None)
            if not dialect.single_dash and given and {name, *given} <= dialect.flags:
                words[at:at] = [f"-{letter}" for letter in given]  # flags in one word, such as -vv
                given = None
        else:
            hint = dialect.words.get(word, "remove it")
            draft.not_carried(where, f"{word}: a word that is not an option of {dialect.title}", hint)
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
    too_long = LONG_NUMBER.search(option.value or "")  # no key has such a number; the scheduler may say what it means
    if handler is None or too_long or not handler(draft, option):
        draft.add(f"native/{dialect.name}", option.text, option.where)
