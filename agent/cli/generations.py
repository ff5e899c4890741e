"""The generations on this machine, for commands that read them without asking the agent."""

from __future__ import annotations

from pathlib import Path

from ordain.agent.cli.parse import Usage
from ordain.agent.failure import Failure
from ordain.agent.history import Damaged
from ordain.agent.model import Generation
from ordain.agent.store import Store
from ordain.transforms import below


def boot_id(root: Path) -> str:
    """This boot, as the boot cache is bound to it."""
    data = below.read(root, "proc/sys/kernel/random/boot_id") or b""
    return data.decode("ascii", "replace").strip().replace("-", "")


def in_force(root: Path) -> Generation:
    """The generation whose units this boot has: its trial, else the proven one. Raises `Failure`."""
    store = Store(root)
    try:
        found = store.trial(boot_id(root)) or store.proven()
    except Damaged as damage:
        raise Failure(f"{damage}; `ordainctl doctor` tells more") from damage
    except PermissionError as error:
        raise Failure(f"{error.filename}: {error.strerror}") from error
    if found is None:
        raise Failure("no generation was applied on this machine yet; `ordainctl plan` shows the first one")
    return found


def numbered(root: Path, text: str) -> Generation:
    """The generation with the number ``text``. Raises `Usage` or `Failure`."""
    if not (text.isascii() and text.isdigit()):
        raise Usage(f"a generation has a number, {text!r} is none; `ordainctl history` lists them")
    try:
        return Store(root).load(int(text))
    except KeyError as error:
        raise Failure(f"there is no generation {text}; `ordainctl history` lists them") from error
    except Damaged as damage:
        raise Failure(str(damage)) from damage
