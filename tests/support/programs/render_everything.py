"""Program that prints the generations of the examples and the golden cases on a few systems.

The argument is a seed for the order of the documents.
Reading the clock or a random number is an error. `test_determinism.py` runs this program in many environments.
"""

from __future__ import annotations

import random
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from ordain.agent.generation import canonical, generation
from ordain.agent.model import Generation, to_json
from ordain.transforms.artifacts import row
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Refused
from ordain.transforms.machine.installed_units import read_installed
from ordain.transforms.model import Document

HERE = Path(__file__).parents[2]
SYSTEMS = ("debian-12", "rocky-9", "arch")


def refuse(*_: Any) -> NoReturn:
    """Raise an error in place of the functions that a render must not call."""
    raise AssertionError("a render looked at the clock or at a random number")


def as_json(made: Generation) -> dict[str, Any]:
    """Return all of a generation as JSON data."""
    return {**to_json(replace(made, artifacts=())), "artifacts": [row(artifact) for artifact in made.artifacts]}


def main() -> None:
    """Print all generations; the argument is the seed of the order."""
    order = random.Random(sys.argv[1])
    sets: list[tuple[list[Document], Path | None]] = []
    for case in sorted((HERE / "cases").iterdir()):
        root = case / "root"
        sets.append(
            (list(read("documents.yaml", (case / "documents.yaml").read_bytes())[0]), root if root.is_dir() else None)
        )
    files = sorted((HERE.parent / "examples").glob("*.yaml"))
    sets.append(([document for path in files for document in read(path.name, path.read_bytes())[0]], None))
    shipped_transforms = shipped()
    for name in ("time", "time_ns", "gmtime", "localtime", "strftime"):
        setattr(time, name, refuse)
    for module, names in ((random, ("random", "choice", "shuffle", "getrandbits")), (uuid, ("uuid1", "uuid4"))):
        for name in names:
            setattr(module, name, refuse)
    for written, machine_root in sets:
        order.shuffle(written)
        database = list(shipped_transforms)
        order.shuffle(database)
        for system in SYSTEMS:
            installed = read_installed(machine_root) if machine_root else None
            try:
                compiled = compile(written, facts_for(system), installed, shipped=database)
            except Refused as refused:
                sys.stdout.buffer.write(f"{refused}\n".encode())
                continue
            made = generation(compiled)
            sys.stdout.buffer.write(canonical(as_json(made)) + b"\n")
            sys.stdout.buffer.write("".join(f"{problem}\n" for problem in compiled.problems).encode())


if __name__ == "__main__":
    main()
