"""The frozen values that pass through the rendering of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ordain.transforms.errors import NOWHERE, Where
from ordain.transforms.model import Branch, Leaf

NO_LEAF = Leaf(value=None, where=NOWHERE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTarget:
    """The properties that a Run matches on: the system, its scheduler and the user."""

    system: str
    scheduler: str
    user: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedRun:
    """One run: its own document and all layers that match, merged; ``layers`` are their names, the lowest first."""

    name: str
    tree: Branch
    where: Where
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    layers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One element of a run: its index, None if it is the only one, its parameters, and the tree without templates."""

    index: int | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    tree: Branch


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptLine:
    """One line of a script with its cause: the value of a document, or the row of the database, that made it.

    ``more`` are other values that it comes from, too.
    ``heading`` is the comment above a line that begins a part of the script. ``commented``: a comment above the line
    may name its cause.
    """

    text: str
    cause: Leaf = NO_LEAF
    more: tuple[Leaf, ...] = ()
    heading: str = ""
    commented: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class JobScript:
    """One job: the lines of its script and the words that submit it.

    ``run`` is the run, ``index`` the index of its element if the system has no arrays, else None. ``arguments`` are the
    directives of a system that takes them as arguments. ``after`` are the runs that it depends on, with the condition.
    ``output`` is the file of its output as a text with ``{job}`` and ``{index}``, ``""`` for none; ``errors`` is
    that of its error messages. ``unit`` is a name for the job on this machine, which is different for each submission.
    """

    run: str
    system: str
    index: int | None = None
    elements: int = 1
    lines: tuple[ScriptLine, ...]
    arguments: tuple[ScriptLine, ...] = ()
    after: tuple[tuple[str, str], ...] = ()
    output: str = ""
    errors: str = ""
    unit: str = ""

    @property
    def name(self) -> str:
        """Return the name of the job: that of the run, with the index of an element of its own."""
        return self.run if self.index is None else f"{self.run}-{self.index}"
