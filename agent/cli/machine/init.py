"""init: writes a first document and agent.yaml, with comments in place of values, for a machine that has none."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Console, Style
from ordain.agent.cli.machine.default_agent_yaml import DEFAULTS
from ordain.agent.errors import Failure

DOCUMENT = """\
# A document: the agent applies it within a second after each save. Remove a # to try a line.
# `ordainctl validate FILE` checks it, `ordainctl plan` shows the effect, `ordainctl help services` lists the keys.
ordain: v1
kind: Layer
name: first
# match: {hostname: web1}          # without match, for every machine

# services:
#   hello:
#     command: python3 -m http.server 8080
#     dynamic-user: true
#     limits: {memory: 64M}
#     health: {http: "http://127.0.0.1:8080/"}
#   ssh:                           # of the distribution: its name on this system is known
#     drift: enforce

# files:
#   /etc/motd: {content: "Hello\\n"}

# sysctl: {vm.swappiness: 10}
"""
FILES = {"etc/ordain/documents/first.yaml": DOCUMENT, "etc/ordain/agent.yaml": ""}


def init(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl init`."""
    texts = {**FILES, "etc/ordain/agent.yaml": agent_yaml()}
    if request.print:
        for path, text in texts.items():
            console.text(f"# --- /{path}\n{text}\n")
        return Exit.OK
    written = [path for path, text in texts.items() if _write(request.root / path, text)]
    for path in texts:
        console.line(f"wrote /{path}" if path in written else f"/{path} exists already; left as it is")
    if written:
        console.line("Edit them, then run `ordainctl status`.", Style.DIM)
    return Exit.OK


def agent_yaml() -> str:
    """Return agent.yaml with its defaults as comments."""
    head = "# The settings of this machine; these are the defaults. `ordainctl help agent` explains the keys.\n"
    return head + "".join(f"# {line}\n" for line in DEFAULTS.splitlines())


def _write(path: Path, text: str) -> bool:
    """Write a file unless it exists, and return whether it was written. Raises `Failure`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    except PermissionError:
        raise
    except OSError as error:
        raise Failure(f"{path}: {error.strerror or error}") from error
    return True
