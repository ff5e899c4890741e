"""ordainctl: words in, an exit status out. Each command's module is imported when that command is wanted."""

from __future__ import annotations

import importlib
import io
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO, cast

from ordain.agent.cli.command import Command, Exit
from ordain.agent.cli.commands import COMMANDS
from ordain.agent.cli.console import Console, Style, wants_colour
from ordain.agent.cli.parse import Help, Usage, parse
from ordain.agent.errors import Failure
from ordain.transforms.errors import Refused

Run = Callable[[Namespace, Console], Exit]


def main(argv: Sequence[str] | None = None, *, root: Path = Path("/")) -> int:
    """Run one command on the machine whose root directory is ``root``.

    A shell's convention for signals: 130 after Ctrl-C, 141 when the reader has gone.
    """
    out, err = _ready(sys.stdout), _ready(sys.stderr)
    console = Console(out=out, err=err, out_colour=wants_colour(out), err_colour=wants_colour(err))
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
        console.note(f"ordainctl: {error}", Style.BAD)
        return Exit.REFUSED
    return status


def _ready(stream: TextIO | None) -> TextIO:
    """``stream``, made to take any text: all bytes of it elsewhere, on a terminal what that can show."""
    if stream is None:  # closed by the caller
        return Path(os.devnull).open("w", encoding="utf-8")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")
    return stream


def _discard(out: TextIO) -> None:
    """Forget what is still buffered: the interpreter would try to write it again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


def _run(words: Sequence[str], root: Path, console: Console) -> Exit:
    try:
        command, request = parse(words)
        request.root = root
        return _load(command)(request, console)
    except Help as help_:
        console.out.write(str(help_))
        return Exit.OK
    except Usage as usage:
        known = next((n for n in (" ".join(words[:2]), *words[:1]) if n in COMMANDS), "")
        command_words = f"ordainctl {known}".rstrip()
        console.note(f"ordainctl: {usage}\nTry `{command_words} --help`.")
        return Exit.USAGE
    except Refused as refused:
        console.problems(refused.problems)
        return Exit.REFUSED
    except Failure as failure:
        console.note(f"ordainctl: {failure}", Style.BAD)
        return Exit(failure.exit_status)
    except PermissionError as error:
        console.note(f"ordainctl: {error.filename}: {error.strerror} (as root?)", Style.BAD)
        return Exit.REFUSED


def _load(command: Command) -> Run:
    module, _, function = command.run.partition(":")
    return cast(Run, getattr(importlib.import_module(f"ordain.agent.cli.{module}"), function))
