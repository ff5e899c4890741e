"""The generations on this machine, for commands that read them without asking the agent."""

from __future__ import annotations

from pathlib import Path

from ordain.agent.cli.parse import Usage
from ordain.agent.errors import DamagedGeneration, Failure
from ordain.agent.model import Generation
from ordain.agent.state.boot_record import boot_id, placed_hash
from ordain.agent.state.store import Store


def in_force(root: Path) -> Generation:
    """The generation whose units this boot has; before the generator ran in it, the proven one. Raises `Failure`."""
    store = Store(root)
    placed = placed_hash(root)
    try:
        found = store.trial(boot_id(root)) or store.proven()
        if placed and (found is None or found.hash != placed):
            found = store.load_hash(placed)  # after boots that did not complete, an older one
    except KeyError as error:
        raise Failure(f"the generation in force ({placed[:12]}) is not kept below /var/lib/ordain") from error
    except DamagedGeneration as damage:
        raise Failure(f"{damage}; `ordainctl doctor` tells more") from damage
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
    except DamagedGeneration as damage:
        raise Failure(str(damage)) from damage
