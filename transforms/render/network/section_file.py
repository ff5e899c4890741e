"""A file of a network renderer in the making: sections of lines, each with its cause, every value one plain line.

The strings of the documents are held to the formats of `network_formats` before; here, last, no value can end a line or
begin another, whatever the renderer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from ordain.transforms.artifacts import RegularFile
from ordain.transforms.errors import Problem, Severity
from ordain.transforms.model import Leaf
from ordain.transforms.render.network.devices import Device, problem
from ordain.transforms.render.provenance import cause, comment, default, file_header
from ordain.transforms.systemd import directives

PLAIN = re.compile(r"(?! )[ -~]+(?<![ \\])")
"""Printable ASCII, no blank at either end, no backslash at the end: one line in every renderer's syntax."""


@dataclass(slots=True)
class _Section:
    name: str
    lines: list[str] = field(default_factory=list)
    said: str = ""


@dataclass(slots=True)
class SectionFile:
    """``kind`` is that of `directives` for a target ``systemd``, "" where another program reads the file."""

    path: str
    device: Device
    kind: str = ""
    systemd: int = 0
    mode: int = 0o644
    group: str = ""
    sections: list[_Section] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def begin(self, section: str) -> None:
        """Another section, also where there is one of the name."""
        self.sections.append(_Section(section))

    def set(self, section: str, key: str, value: str, leaf: Leaf) -> None:
        """``value`` for ``key`` in the last section of the name, because of ``leaf``."""
        if self.kind and (finding := directives.check(section, key, self.systemd, self.kind)):
            self.block(leaf, finding.what, finding.hint, "TooNew")
            return
        if not PLAIN.fullmatch(value):
            self.block(leaf, f"{key} cannot hold {value[:80]!r}", "it is written as one line of ASCII", "Encode")
            return
        self._add(section, f"{key}={value}", cause(leaf))

    def default(self, section: str, key: str, value: str, why: str) -> None:
        """A line that no document asks for, and why it is there; left out where the target does not know it."""
        if not (self.kind and directives.check(section, key, self.systemd, self.kind)):
            self._add(section, f"{key}={value}", default(why))

    def _add(self, name: str, line: str, why: str) -> None:
        section = next((s for s in reversed(self.sections) if s.name == name), None)
        if section is None:
            self.begin(name)
            section = self.sections[-1]
        if why != section.said:
            section.lines.append(comment(why))
            section.said = why
        section.lines.append(line)

    def block(self, leaf: Leaf, what: str, hint: str = "", code: str = "Network") -> None:
        """The renderer cannot express it."""
        self.problems.append(problem(self.device, leaf, what, hint, code))

    def warn(self, leaf: Leaf, what: str, hint: str = "", code: str = "Network") -> None:
        """Worth a look."""
        self.problems.append(replace(problem(self.device, leaf, what, hint, code), severity=Severity.WARNING))

    def artifact(self) -> RegularFile:
        """The file, sections in the order they were begun."""
        head = "".join(f"{line}\n" for line in file_header(self.device.pointer))
        blocks = (f"[{s.name}]\n" + "".join(f"{line}\n" for line in s.lines) for s in self.sections if s.lines)
        content = "\n".join((head, *blocks))
        return RegularFile(path=self.path, content=content, mode=self.mode, group=self.group, item=self.device.pointer)
