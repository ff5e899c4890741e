"""The entry point of ordainctl: runs one command and returns its exit status.

The module of a command is imported only when that command runs, so that `ordainctl --help` starts fast.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO, cast

from ordain.agent.cli.commands.all_commands import COMMANDS, FAMILIES
from ordain.agent.cli.commands.subcommand import Exit, Subcommand
from ordain.agent.cli.console import Console, Style, terminal_columns, wants_colour
from ordain.agent.cli.json_shapes import JsonRefusal, json_problems
from ordain.agent.cli.parse import Help, Usage, parse
from ordain.agent.errors import Failure
from ordain.transforms.errors import Refused

Run = Callable[[Namespace, Console], Exit]


def main(argv: Sequence[str] | None = None, *, root: Path = Path("/")) -> int:
    """Run one command on the machine whose root directory is ``root``, and return the exit status.

    As in a shell, 130 means Ctrl-C, and 141 that the reader of the output has closed it.
    """
    out, err = _prepared(sys.stdout), _prepared(sys.stderr)
    console = Console(
        out=out,
        err=err,
        out_colour=wants_colour(out),
        err_colour=wants_colour(err),
        out_columns=terminal_columns(out) if out.isatty() else 0,
        err_columns=terminal_columns(err) if err.isatty() else 0,
    )
    try:
        status = _run(sys.argv[1:] if argv is None else argv, root, console)
        out.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _discard(out)
        return 141
    except OSError as error:
        _discard(out)
        text = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        console.note(f"ordainctl: {text}", Style.BAD)
        return Exit.REFUSED
    return status


def _prepared(stream: TextIO | None) -> TextIO:
    """Return ``stream``, changed so that it accepts any text.

    Files and pipes get UTF-8; a terminal keeps its encoding, and gets escapes for characters that it lacks.
    """
    if stream is None:  # closed by the caller
        return Path(os.devnull).open("w", encoding="utf-8")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")
    return stream


def _discard(out: TextIO) -> None:
    """Drop the text that is still buffered: otherwise the interpreter tries to write it again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


def _run(words: Sequence[str], root: Path, console: Console) -> Exit:
    request = Namespace()
    try:
        command, request = parse(words)
        request.root = root
        return _load(command)(request, console)
    except Help as help_:
        (console.err if help_.status else console.out).write(str(help_))
        return help_.status
    except Usage as usage:
        known = [name for name in (" ".join(words[:2]), *words[:1]) if name in COMMANDS or name in FAMILIES]
        command_words = " ".join(["ordainctl", *known[:1]])
        console.note(f"ordainctl: {usage}\nTry `{command_words} --help`.")
        return Exit.USAGE
    except Refused as refused:
        if getattr(request, "json", False):
            console.json(JsonRefusal(problems=json_problems(refused.problems)))
        console.problems(refused.problems)
        return Exit.REFUSED
    except Failure as failure:
        console.note(f"ordainctl: {failure}", Style.BAD)
        return Exit(failure.exit_status)
    except PermissionError as error:
        console.note(f"ordainctl: {error.filename}: {error.strerror}; run it as root", Style.BAD)
        return Exit.REFUSED


def _load(command: Subcommand) -> Run:
    module, _, function = command.run.partition(":")
    return cast(Run, getattr(importlib.import_module(f"ordain.agent.cli.{module}"), function))
