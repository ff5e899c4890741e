"""The draft of a file of plain lines for a program of the system, each line below a comment on its place."""

from __future__ import annotations

from dataclasses import dataclass, field

from ordain.transforms.artifacts import RegularFile
from ordain.transforms.errors import Problem, blocked
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Leaf
from ordain.transforms.render.cause_comments import cause, comment, file_header

_LINE = lazy_pattern(r"[^\x00-\x1f\x7f\u0085\u2028\u2029]*")


@dataclass(slots=True)
class TextFile:
    """The lines of the file at ``path`` that ``item`` makes, and the problems with them."""

    path: str
    item: str
    lines: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def add(self, line: str, leaf: Leaf) -> None:
        """Add a line made from ``leaf``; block the item if a character of it would end the line."""
        if not _LINE.fullmatch(line):
            self.block(leaf, f"a line of {self.path} cannot hold {line[:60]!r}", "remove the control characters")
            return
        self.lines += [comment(cause(leaf)), line]

    def block(self, leaf: Leaf, what: str, hint: str = "", code: str = "Item") -> None:
        """Add the problem that this machine cannot have the item."""
        self.problems.append(blocked(self.item, leaf.where, what, hint, code))

    def artifact(self, mode: int = 0o644, owner: str = "", group: str = "") -> RegularFile:
        """Return the finished file."""
        content = "".join(f"{line}\n" for line in (*file_header(self.item), *self.lines))
        return RegularFile(path=self.path, content=content, item=self.item, mode=mode, owner=owner, group=group)
