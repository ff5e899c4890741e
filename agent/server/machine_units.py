"""The units that documents make for a machine of the boot server: each line with its place in the documents.

    documents, facts that iPXE sent, the system of its image ──units_for──▶ MachineUnits

The server knows neither the root of the machine nor the facts that only a running system has. So this is the answer of
`ordainctl render --os`, which knows no unit of the distribution.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ordain.agent.server.api_shapes import MachineUnit, MachineUnits, UnitText
from ordain.transforms.artifacts import UnitFile
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.errors import sorted_problems
from ordain.transforms.model import Document, Facts


def units_for(documents: Iterable[Document], known: Facts, hostname: str, system: str) -> MachineUnits:
    """Return the units of a machine of which ``known`` are the facts that it sent before any system ran on it.

    Raises `Refused` for an unknown system, and for documents that contradict each other.
    """
    sent = ("arch", "mac", *(name for name in Facts.__dataclass_fields__ if name.startswith("system_")))
    facts = replace(facts_for(system, hostname=hostname), **{name: getattr(known, name) for name in sent})
    compiled = compile(tuple(documents), facts, None, shipped=shipped())
    files: dict[str, list[UnitText]] = {}
    for artifact in compiled.artifacts:
        if isinstance(artifact, UnitFile):
            unit = artifact.path.split("/")[1].removesuffix(".d")
            files.setdefault(unit, []).append(UnitText(path=artifact.path, text=artifact.content))
    wanted = {member.unit: str(member.wanted) for member in compiled.members}
    return MachineUnits(
        system=system,
        layers=compiled.resolved.layers,
        units=tuple(
            MachineUnit(unit=unit, wanted=wanted.get(unit, ""), files=tuple(files.get(unit, ())))
            for unit in sorted(files.keys() | wanted.keys())
        ),
        problems=tuple(map(str, sorted_problems(compiled.problems))),
    )
