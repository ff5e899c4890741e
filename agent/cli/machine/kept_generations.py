"""The generations that this machine keeps, read from its store without the agent."""

from __future__ import annotations

from pathlib import Path

from ordain.agent.cli.parse import Usage
from ordain.agent.errors import DamagedGeneration, Failure
from ordain.agent.model import Generation
from ordain.agent.state.boot_record import boot_id, placed_hash
from ordain.agent.state.store import Store


def in_force(root: Path) -> Generation:
    """Return the generation of this boot, or the proven one if the generator has not run yet. Raises `Failure`."""
    store = Store(root)
    placed = placed_hash(root)
    try:
        generation = store.trial(boot_id(root)) or store.proven()
        if placed and (generation is None or generation.hash != placed):
            generation = store.load_hash(placed)  # after boots that did not complete, an older one
    except KeyError as error:
        missing = f"the generation in force ({placed[:12]}) is missing in /var/lib/ordain/generations"
        raise Failure(f"{missing}; run `ordainctl apply`") from error
    except DamagedGeneration as damage:
        raise Failure(f"{damage}; run `ordainctl doctor`") from damage
    if generation is None:
        raise Failure("no generation has been applied on this machine yet; `ordainctl plan` shows the first one")
    return generation


def numbered(root: Path, text: str) -> Generation:
    """Return the generation with the number ``text``. Raises `Usage` or `Failure`."""
    if not (text.isascii() and text.isdigit()):
        raise Usage(f"{text!r} is not the number of a generation (`ordainctl history` lists them)")
    store = Store(root)
    try:
        return store.load(int(text))
    except KeyError as error:
        raise Failure(store.describe_missing(int(text))) from error
    except DamagedGeneration as damage:
        raise Failure(str(damage)) from damage
