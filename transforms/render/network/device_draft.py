"""The draft of what a device needs from one renderer: the base of `SectionFile` and of ifupdown's `Stanzas`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ordain.transforms.errors import Problem, Severity
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Leaf
from ordain.transforms.render.network.devices import Device, problem

ONE_LINE = lazy_pattern(r"(?! )[ -~]+(?<![ \\])")
"""Printable ASCII without a blank at either end or a backslash at the end: one line in every renderer's syntax."""


@dataclass(slots=True, kw_only=True)
class DeviceDraft:
    """The problems of a ``device`` under one renderer, whose name for messages is ``program``."""

    device: Device
    program: str
    problems: list[Problem] = field(default_factory=list)

    def block(self, leaf: Leaf, what: str, hint: str = "", code: str = "Network") -> None:
        """Add the problem that this machine cannot have the device."""
        self.problems.append(problem(self.device, leaf, what, hint, code))

    def unsupported(self, leaf: Leaf, feature: str) -> None:
        """Add the problem that the renderer cannot express a feature."""
        self.block(
            leaf, f"{self.program} does not support {feature}", "remove it, or set another `renderer`", "Renderer"
        )

    def warn(self, leaf: Leaf, what: str, hint: str = "", code: str = "Network") -> None:
        """Add a warning."""
        self.problems.append(replace(problem(self.device, leaf, what, hint, code), severity=Severity.WARNING))

    def is_one_line(self, key: str, value: str, leaf: Leaf) -> bool:
        """Return whether ``value`` is one line of ASCII; else block the device."""
        if ONE_LINE.fullmatch(value):
            return True
        self.block(leaf, f"{key} cannot have the value {value[:80]!r}", "use ASCII in one line", "Encode")
        return False
