"""A file of plain lines in the making, for programs of the system: each line with the place it came from; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ordain.transforms.artifacts import RegularFile
from ordain.transforms.errors import Problem, Severity
from ordain.transforms.model import Leaf
from ordain.transforms.render.provenance import HEADER, cause, comment

_LINE = re.compile(r"[^\x00-\x1f\x7f\u0085\u2028\u2029]*")


@dataclass(slots=True)
class Text:
    """The file at ``path``, which item ``item`` makes."""

    path: str
    item: str
    lines: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def add(self, line: str, leaf: Leaf) -> None:
        """One line, because of ``leaf``; nothing in it may end the line."""
        if not _LINE.fullmatch(line):
            self.block(leaf, f"no line of {self.path} can hold {line[:60]!r}")
            return
        self.lines += [comment(cause(leaf)), line]

    def block(self, leaf: Leaf, what: str, hint: str = "", code: str = "Item") -> None:
        """This machine cannot have the item."""
        self.problems.append(
            Problem(where=leaf.where, what=what, hint=hint, code=code, severity=Severity.BLOCKED, item=self.item)
        )

    def artifact(self, mode: int = 0o644, owner: str = "", group: str = "") -> RegularFile:
        """The file."""
        head = [comment(line.format(pointer=self.item)) for line in HEADER]
        content = "".join(f"{line}\n" for line in (*head, *self.lines))
        return RegularFile(path=self.path, content=content, item=self.item, mode=mode, owner=owner, group=group)

    @property
    def blocked(self) -> bool:
        """Whether something in it cannot be."""
        return bool(self.problems)
