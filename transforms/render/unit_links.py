"""Symbolic links in the directories of the generator: dependencies, masks and dependencies that are held back."""

from __future__ import annotations

from ordain.transforms.artifacts import MASK, UnitLink
from ordain.transforms.systemd import unit_name

SERVICES_TARGET = "ordain-services.target"
LINK_DIRECTORIES = {"wants": "Wants", "requires": "Requires", "upholds": "Upholds"}
"""The directories of dependency links (``TARGET.wants/``), and the directive that each stands for."""
INSTALL = {"WantedBy": "wants", "RequiredBy": "requires", "UpheldBy": "upholds"}
"""The directives of [Install] that make a link, and its directory."""


def wants(target: str, unit: str, item: str) -> UnitLink:
    """Return the link by which ``target`` wants ``unit``. PID 1 reads only its name, so it may dangle."""
    file = unit_name.template_of(unit) or unit
    return UnitLink(path=f"normal/{target}.wants/{unit}", target=f"../{file}", item=item)


def mask(unit: str, item: str) -> UnitLink:
    """Return the link that masks ``unit``; the early directory precedes /etc (docs/design/systemd.md, fact 7)."""
    return UnitLink(path=f"early/{unit}", target=MASK, item=item)


def hold_back(target: str, kind: str, unit: str, item: str) -> UnitLink:
    """Return the link that masks one dependency of ``target`` and nothing else (docs/design/systemd.md, fact 10)."""
    return UnitLink(path=f"early/{target}.{kind}/{unit}", target=MASK, item=item)
