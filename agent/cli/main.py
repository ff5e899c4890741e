"""ordainctl: words in, an exit status out. Each command's module is imported when that command is wanted."""

from __future__ import annotations

import importlib
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from ordain.agent.cli.command import Command, Exit
from ordain.agent.cli.console import Console, Style, wants_colour
from ordain.agent.cli.parse import Help, Usage, parse
from ordain.agent.failure import Failure
from ordain.transforms.errors import Refused

Run = Callable[[Namespace, Console], Exit]


def main(argv: Sequence[str] | None = None, *, root: Path = Path("/")) -> int:
    """Run one command on the machine whose root directory is ``root``.

    A shell's convention for signals: 130 after Ctrl-C, 141 when the reader has gone.
    """
    console = Console(
        out=sys.stdout,
        err=sys.stderr,
        out_colour=wants_colour(sys.stdout),
        err_colour=wants_colour(sys.stderr),
    )
    try:
        status = _run(sys.argv[1:] if argv is None else argv, root, console)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered would raise again when the interpreter flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130
    return status


def _run(words: Sequence[str], root: Path, console: Console) -> Exit:
    try:
        command, request = parse(words)
        request.root = root
        return _load(command)(request, console)
    except Help as help_:
        console.out.write(str(help_))
        return Exit.OK
    except Usage as usage:
        help_words = f"ordainctl {usage.command} --help".replace("  ", " ")
        console.note(f"ordainctl: {usage}\nTry `{help_words}`.")
        return Exit.USAGE
    except Refused as refused:
        console.problems(refused.problems)
        return Exit.REFUSED
    except Failure as failure:
        console.note(f"ordainctl: {failure}", Style.BAD)
        return Exit(failure.exit_status)
    except BrokenPipeError:
        raise
    except OSError as error:
        denied = " (as root?)" if isinstance(error, PermissionError) else ""
        console.note(f"ordainctl: {error.filename or 'failed'}: {error.strerror or error}{denied}", Style.BAD)
        return Exit.REFUSED


def _load(command: Command) -> Run:
    module, _, function = command.run.partition(":")
    return cast(Run, getattr(importlib.import_module(f"ordain.agent.cli.{module}"), function))
