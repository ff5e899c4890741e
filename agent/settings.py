"""The settings of the agent, from /etc/ordain/agent.yaml (`agent_yaml`) and the kernel command line.

Labels are settings too, but documents match on those of the facts, which a Node document may override.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from ordain.agent.source_settings import (
    NO_SOURCE,
    SOURCE_PARAMETER,
    SourceKind,
    SourceSettings,
    source_from_url,
    source_settings,
)
from ordain.transforms.document.formats.agent_formats import PEERS
from ordain.transforms.document.formats.maintenance_windows import Window, parse_window
from ordain.transforms.errors import Problem, Severity, Where
from ordain.transforms.machine import rootfs
from ordain.transforms.machine.agent_yaml import CODE, PATH, read, read_in_force, read_written
from ordain.transforms.machine.facts import kernel_command_line
from ordain.transforms.systemd.values import timespan

MAX_REMOVAL = 50
SOURCE, GATEWAY, CALLER_HOST = PEERS


class Trust(StrEnum):
    """The documents that the machine accepts without a signature: those on the machine, none, or all."""

    LOCAL = "local"
    REQUIRED = "required"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings that the administrator made; the defaults are those of a machine without the file.

    ``max_removal`` is the share of the services (percent) that one step of a remote source may remove. ``reach`` are
    the hosts that must be reachable ``within_sec`` seconds after a change of the network
    (`agent.apply.network.reachability`). ``windows`` are the times when this machine may change to another release;
    none: at any time. ``requires_why``: an administrator who holds, pauses or rolls back has to give a reason.
    """

    source: SourceSettings = field(default_factory=SourceSettings)
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    trust: Trust = Trust.LOCAL
    max_removal: int = MAX_REMOVAL
    windows: tuple[Window, ...] = ()
    reach: tuple[str, ...] = (SOURCE, GATEWAY, CALLER_HOST)
    within_sec: float = 30.0
    requires_why: bool = False

    @property
    def trusted_server(self) -> str:
        """The boot server whose unsigned documents are accepted, "" if there is none."""
        return self.source.location if self.source.type is SourceKind.HTTP and self.trust is Trust.OPEN else ""


UNREADABLE_SETTINGS = Settings(source=NO_SOURCE, trust=Trust.REQUIRED)
"""The settings of a file that cannot be read."""


def read_settings(root: Path) -> tuple[Settings, tuple[Problem, ...]]:
    """Return the settings in force on the machine ``root``, and what is wrong with its file.

    A key with an error keeps its default, with two exceptions, both for safety: `trust` becomes ``required``, and where
    `source` or `labels` is unknown there is no source, so that what was applied stays. A misspelled key counts as well.
    """
    try:
        data = read_in_force(root)
    except OSError as error:
        return UNREADABLE_SETTINGS, (unreadable_problem(error),)
    settings, problems = parse_settings(data, root)
    try:
        if (written := read_written(root)) != data:  # the agent keeps following an earlier text
            problems = refusal_problems(written, data, root) or problems
    except rootfs.UnsafeFile as error:
        problems = (unreadable_problem(error), *problems)
    except OSError:
        pass
    return settings, problems


def parse_settings(data: bytes | None, root: Path) -> tuple[Settings, tuple[Problem, ...]]:
    """Return the settings in the text ``data`` of agent.yaml, overridden by the kernel command line of ``root``."""
    settings, problems = _text(data)
    for word in kernel_command_line(root):
        name, _, value = word.partition("=")
        if name == SOURCE_PARAMETER and value:
            source, faults = source_from_url(value, settings.source, Where(path="/proc/cmdline"))
            settings = replace(settings, source=source)
            problems = (*problems, *faults)
    if settings.source.remote and (settings.trust is not Trust.LOCAL or settings.windows or settings.labels):
        # ordain-source.service uses these settings as well, so it has to start anew when they change.
        policy = f"{settings.trust} {settings.windows} {sorted(settings.labels.items())}"
        settings = replace(settings, source=replace(settings.source, policy=policy))
    return settings, problems


def refusal_problems(data: bytes | None, before: bytes | None, root: Path) -> tuple[Problem, ...]:
    """Return why an agent that follows the text ``before`` does not change to the text ``data``; none: it does.

    A file that was deleted or emptied does not mean that its settings should end: an administrator who means that
    restarts the agent.
    """
    problems = parse_settings(data, root)[1]
    if any(problem.severity is Severity.ERROR and problem.where.path == f"/{PATH}" for problem in problems):
        return problems
    if not _has_settings(data) and _has_settings(before):
        what = "was deleted" if data is None else "was emptied"
        hint = "write it again, or `systemctl restart ordain-agent` for the defaults"
        return (_problem(f"the file {what}; its previous settings stay in force", hint),)
    return ()


def unreadable_problem(error: OSError) -> Problem:
    """Return the problem of a file that exists and cannot be read."""
    if isinstance(error, rootfs.UnsafeFile):
        return _problem(f"the file is not used: {error.filename}: {error.strerror}", error.hint)
    return _problem(f"cannot read the file: {error.strerror or error}")


def _has_settings(data: bytes | None) -> bool:
    """Return whether a text holds more than blank lines and comments."""
    return any(line.strip() and not line.lstrip().startswith(b"#") for line in (data or b"").splitlines())


def _text(data: bytes | None) -> tuple[Settings, tuple[Problem, ...]]:
    if not data:
        return Settings(), ()
    file = read(data)
    settings = _settings(file.values)
    if file.wrong & {"", "source", "labels"}:
        settings = replace(settings, source=NO_SOURCE)
    if file.wrong & {"", "trust"}:
        settings = replace(settings, trust=Trust.REQUIRED)
    return settings, file.problems


_FIELDS: Mapping[str, tuple[str, Callable[[Any], object]]] = {
    "source": ("source", source_settings),
    "labels": ("labels", dict),
    "trust": ("trust", Trust),
    "max-removal": ("max_removal", lambda text: int(text.removesuffix("%"))),
    "windows": ("windows", lambda texts: tuple(map(parse_window, texts))),
    "reach": ("reach", tuple),
    "why": ("requires_why", lambda word: word == "required"),
    "within": ("within_sec", lambda text: timespan(text) / 1e6),
}
"""For each key, the field of `Settings` and the function that makes its value."""


def _settings(values: Mapping[str, Any]) -> Settings:
    """Return the settings that valid values of the keys mean (`agent_keys.SETTINGS`)."""
    given = {**values, **values.get("network", {})}
    fields: dict[str, Any] = {name: convert(given[key]) for key, (name, convert) in _FIELDS.items() if key in given}
    return Settings(**fields)


def _problem(what: str, hint: str = "") -> Problem:
    return Problem(where=Where(path=f"/{PATH}"), what=what, hint=hint, code=CODE)
