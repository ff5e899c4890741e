"""The draft of a file for networkd, udev or NetworkManager: sections of lines, each below a comment on its place.

`network_formats` has checked the strings of the documents before. As a last check here, no value can end a line or
start another one, in any renderer's syntax.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ordain.transforms.artifacts import RegularFile
from ordain.transforms.model import Branch, Leaf
from ordain.transforms.render.cause_comments import cause, comment, default, file_header
from ordain.transforms.render.network.device_draft import DeviceDraft
from ordain.transforms.render.network.value_text import Parameters
from ordain.transforms.systemd import directives


@dataclass(slots=True)
class _Section:
    name: str
    lines: list[str] = field(default_factory=list)
    last_comment: str = ""


@dataclass(slots=True, kw_only=True)
class SectionFile(DeviceDraft):
    """A file at ``path``. ``kind`` is the file type of `directives` for version ``systemd``, ``""`` for keyfiles."""

    path: str
    kind: str = ""
    systemd: int = 0
    mode: int = 0o644
    group: str = ""
    sections: list[_Section] = field(default_factory=list)

    def begin(self, section: str) -> None:
        """Begin a section, even if there is one of the name."""
        self.sections.append(_Section(section))

    def set(self, section: str, key: str, value: str, leaf: Leaf) -> None:
        """Add a line made from ``leaf`` to the last section of the name."""
        if self.kind and (finding := directives.check(section, key, self.systemd, self.kind)):
            self.block(leaf, finding.what, finding.hint, "TooNew")
        elif self.is_one_line(key, value, leaf):
            self._add(section, f"{key}={value}", cause(leaf))

    def set_each(self, section: str, branch: Branch, parameters: Parameters) -> None:
        """Add a line for each key of ``parameters`` that ``branch`` sets."""
        for key, (name, to_text) in parameters.items():
            if leaf := branch.leaf(key):
                self.set(section, name, to_text(leaf.value), leaf)

    def set_default(self, section: str, key: str, value: str, why: str) -> None:
        """Add a line that no document asks for, below the comment ``why``, unless the target does not know the key."""
        if not (self.kind and directives.check(section, key, self.systemd, self.kind)):
            self._add(section, f"{key}={value}", default(why))

    def _add(self, name: str, line: str, text: str) -> None:
        section = next((s for s in reversed(self.sections) if s.name == name), None)
        if section is None:
            self.begin(name)
            section = self.sections[-1]
        if text != section.last_comment:
            section.lines.append(comment(text))
            section.last_comment = text
        section.lines.append(line)

    def artifact(self) -> RegularFile:
        """Return the finished file, with the sections in the order in which they were begun."""
        head = "".join(f"{line}\n" for line in file_header(self.device.pointer))
        blocks = (f"[{s.name}]\n" + "".join(f"{line}\n" for line in s.lines) for s in self.sections if s.lines)
        content = "\n".join((head, *blocks))
        return RegularFile(path=self.path, content=content, mode=self.mode, group=self.group, item=self.device.pointer)
