"""The result of rendering one item of the documents: artifacts, units and problems."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ordain.transforms.artifacts import Artifact
from ordain.transforms.errors import Problem, is_blocked
from ordain.transforms.model import Member
from ordain.transforms.package_set import WantedPackage
from ordain.transforms.render.unit_draft import UnitDraft


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedItem:
    """An item as one machine gets it; ``pointer`` is its name (``services/web``), ``members`` are its units.

    ``packages`` are those that it asks for.
    """

    pointer: str
    artifacts: tuple[Artifact, ...] = ()
    members: tuple[Member, ...] = ()
    packages: tuple[WantedPackage, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def blocked(self) -> bool:
        """Return whether this machine cannot have the item."""
        return is_blocked(self.problems)


def from_drafts(
    pointer: str, drafts: Iterable[UnitDraft], links: Iterable[Artifact] = (), members: Iterable[Member] = ()
) -> RenderedItem:
    """Return the item whose unit files are ``drafts``; a draft without lines makes no file."""
    drafts = tuple(drafts)
    problems = tuple(problem for draft in drafts for problem in draft.problems)
    files = () if is_blocked(problems) else tuple(draft.artifact() for draft in drafts if draft.lines)
    return RenderedItem(pointer=pointer, artifacts=(*files, *links), members=tuple(members), problems=problems)
