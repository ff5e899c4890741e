"""What one entry of the documents comes to: its artifacts, its units, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ordain.transforms.artifacts import MASK, Artifact, UnitLink
from ordain.transforms.errors import Problem, Severity
from ordain.transforms.model import Member
from ordain.transforms.render.unit_draft import Draft
from ordain.transforms.systemd import unit_name

SERVICES_TARGET = "ordain-services.target"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """``pointer`` names it (``services/web``)."""

    pointer: str
    artifacts: tuple[Artifact, ...] = ()
    members: tuple[Member, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def blocked(self) -> bool:
        """Whether this machine cannot have it."""
        return any(problem.severity is not Severity.WARNING for problem in self.problems)


def item(pointer: str, drafts: Iterable[Draft], links: Iterable[Artifact] = (), members: Iterable[Member] = ()) -> Item:
    """An item made of ``drafts``; those without a line make no file."""
    drafts = tuple(drafts)
    problems = tuple(problem for draft in drafts for problem in draft.problems)
    blocked = any(problem.severity is not Severity.WARNING for problem in problems)
    files = () if blocked else tuple(draft.artifact() for draft in drafts if draft.lines)
    return Item(pointer=pointer, artifacts=(*files, *links), members=tuple(members), problems=problems)


def wants(target: str, unit: str, pointer: str) -> UnitLink:
    """The link by which ``target`` wants ``unit``. PID 1 reads its name only, so it may dangle."""
    file = unit_name.template_of(unit) or unit
    return UnitLink(path=f"normal/{target}.wants/{unit}", target=f"../{file}", item=pointer)


def mask(unit: str, pointer: str) -> UnitLink:
    """Masks ``unit``, whoever made it: early beats /etc (docs/design/systemd.md, fact 7)."""
    return UnitLink(path=f"early/{unit}", target=MASK, item=pointer)


def hold_back(target: str, kind: str, unit: str, pointer: str) -> UnitLink:
    """Masks one dependency of ``target``, and nothing else (docs/design/systemd.md, fact 10)."""
    return UnitLink(path=f"early/{target}.{kind}/{unit}", target=MASK, item=pointer)
