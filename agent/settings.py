"""/etc/ordain/agent.yaml and the kernel command line → `Settings`; documents match on the labels of the facts."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from ordain.agent.source_settings import NOWHERE_TO_LOOK, PARAMETER, SourceKind, SourceSettings, of_url, read_source
from ordain.transforms.document import yaml_reader
from ordain.transforms.document.maintenance_windows import Window, window
from ordain.transforms.document.node import Node, Number, Unreadable
from ordain.transforms.errors import Problem, Severity, Where, near
from ordain.transforms.machine import rootfs
from ordain.transforms.machine.agent_yaml import PATH, in_force, read_labels
from ordain.transforms.machine.facts import command_line
from ordain.transforms.systemd.values import EncodeError, timespan

KEYS = ("source", "labels", "trust", "max-removal", "network", "windows")
MAX_REMOVAL = 50
SOURCE, GATEWAY, CALLER_HOST = "source", "gateway", "caller"
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_.-]+):[0-9]{1,5}")
LEAST_SEC, LONGEST_SEC = 1.0, 3600.0


class Trust(StrEnum):
    """Whose documents are taken (docs/design/contract.md, rule 22)."""

    LOCAL = "local"
    REQUIRED = "required"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the admin of this machine set; the defaults are those of a machine without the file.

    ``max_removal`` is the share of the services (percent) that may go in one step of a remote source. ``reach``: who
    must still be reached ``within_sec`` of a change of the network (`agent.apply.reachability`). ``windows`` are when
    this machine
    may take another release, besides what that says; none: at any time.
    """

    source: SourceSettings = field(default_factory=SourceSettings)
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    trust: Trust = Trust.LOCAL
    max_removal: int = MAX_REMOVAL
    windows: tuple[Window, ...] = ()
    reach: tuple[str, ...] = (SOURCE, GATEWAY, CALLER_HOST)
    within_sec: float = 30.0

    @property
    def server(self) -> str:
        """The boot server whose documents are taken as they are; "" where there is none such."""
        return self.source.location if self.source.type is SourceKind.HTTP and self.trust is Trust.OPEN else ""


def read_settings(root: Path) -> tuple[Settings, tuple[Problem, ...]]:
    """The settings in force on the machine ``root``, and what is wrong with its file; what is wrong keeps its default.

    But for the source: where that or the labels cannot be told, there is none, and what was applied stays.
    """
    try:
        data = in_force(root)
    except OSError as error:
        return Settings(source=NOWHERE_TO_LOOK), (unreadable(error),)
    settings, problems = settings_of(data, root)
    with contextlib.suppress(OSError):
        if (written := rootfs.read(root, PATH)) != data:  # the agent goes by what was there before
            problems = why_not(written, data, root) or problems
    return settings, problems


def settings_of(data: bytes | None, root: Path) -> tuple[Settings, tuple[Problem, ...]]:
    """The settings in the text ``data`` of agent.yaml, under what the kernel command line of ``root`` says."""
    settings, problems = _text(data)
    for word in command_line(root):
        name, _, value = word.partition("=")
        if name == PARAMETER and value:
            source, found = of_url(value, settings.source, Where(path="/proc/cmdline"))
            settings = replace(settings, source=source)
            problems = (*problems, *found)
    if settings.source.remote and (settings.trust is not Trust.LOCAL or settings.windows or settings.labels):
        # What fetches by another policy, or for other labels, is to be started anew.
        policy = f"{settings.trust} {settings.windows} {sorted(settings.labels.items())}"
        settings = replace(settings, source=replace(settings.source, policy=policy))
    return settings, problems


def why_not(data: bytes | None, before: bytes | None, root: Path) -> tuple[Problem, ...]:
    """Why an agent that goes by the text ``before`` does not go by ``data``; none: it does.

    A file that is gone or empty says nothing, which is not that the labels are gone: who means that restarts the agent.
    """
    problems = settings_of(data, root)[1]
    if any(problem.severity is Severity.ERROR and problem.where.path == f"/{PATH}" for problem in problems):
        return problems
    if not _says(data) and _says(before):
        what = "is gone" if data is None else "says nothing"
        hint = "write it, or `systemctl restart ordain-agent` for the defaults"
        return (_problem(Where(path=f"/{PATH}"), "", f"{what}; what it said is in force", hint),)
    return ()


def unreadable(error: OSError) -> Problem:
    """A file that is there and cannot be read."""
    return _problem(Where(path=f"/{PATH}"), "", f"cannot be read: {error.strerror or error}")


def _says(data: bytes | None) -> bool:
    return any(line.strip() and not line.lstrip().startswith(b"#") for line in (data or b"").splitlines())


def _text(data: bytes | None) -> tuple[Settings, tuple[Problem, ...]]:
    unknown = Settings(source=NOWHERE_TO_LOOK)
    if not data:
        return Settings(), ()
    path = f"/{PATH}"
    try:
        node = next(yaml_reader.read(path, data.decode()), None)
    except UnicodeDecodeError:
        return unknown, (Problem(where=Where(path=path), what="is not UTF-8", code="Settings"),)
    except Unreadable as unreadable:
        return unknown, (replace(unreadable.problem, code="Settings"),)
    if node is None:
        return Settings(), ()
    return _settings(node)


def _settings(node: Node) -> tuple[Settings, tuple[Problem, ...]]:
    if not isinstance(node.value, Mapping):
        return Settings(source=NOWHERE_TO_LOOK), (_problem(node.where, "", "is no map", "key: value"),)
    problems = [
        _problem(where, key, "is no setting", near(key, KEYS) or ", ".join(KEYS))
        for key, where in node.keys.items()
        if key not in KEYS
    ]
    settings = Settings()
    trust = node.value.get("trust")
    if trust is not None and trust.value is not None:
        try:
            settings = replace(settings, trust=Trust(str(trust.value)))
        except ValueError:
            # The strictest: what was meant was some limit.
            settings = replace(settings, trust=Trust.REQUIRED)
            hint = f"one of {', '.join(Trust)}"
            problems.append(_problem(trust.where, "trust", f"{trust.value} is no way to trust", hint))
    most = node.value.get("max-removal")
    if most is not None and most.value is not None:
        percent = str(most.value).removesuffix("%").strip()
        if isinstance(most.value, Number) or not (percent.isascii() and percent.isdigit() and int(percent) <= 100):
            hint = "of the services that may go in one step: max-removal: 50%"
            problems.append(_problem(most.where, "max-removal", f"{most.value} is no share", hint))
        else:
            settings = replace(settings, max_removal=int(percent))
    when = node.value.get("windows")
    if when is not None and when.value is not None:
        windows = []
        for each in when.value if isinstance(when.value, tuple) else (when,):
            try:
                windows.append(window(str(each.value)))
            except EncodeError as error:
                problems.append(_problem(each.where, "windows", error.what, error.hint))
        settings = replace(settings, windows=tuple(windows))
    source = node.value.get("source")
    if source is not None and source.value is not None:
        settings = replace(settings, source=(found := read_source(source))[0])
        problems += found[1]
    labels, unlike = read_labels(node)
    settings = replace(settings, labels=labels)
    problems += unlike
    if any(problem.severity is Severity.ERROR for problem in unlike):
        settings = replace(settings, source=NOWHERE_TO_LOOK)
    if network := node.value.get("network"):
        settings, wrong = _network(network, settings)
        problems += wrong
    return settings, tuple(problems)


def _network(node: Node, settings: Settings) -> tuple[Settings, list[Problem]]:
    entries, problems = _map(node, "network", ("reach", "within"))
    if (reach := entries.get("reach")) and reach.value is not None:
        words = [str(each.value) for each in reach.value] if isinstance(reach.value, tuple) else [str(reach.value)]
        for word in words:
            if word not in (SOURCE, GATEWAY, CALLER_HOST) and not _HOST.fullmatch(word):
                hint = f"{SOURCE}, {GATEWAY}, {CALLER_HOST} or HOST:PORT"
                problems.append(_problem(reach.where, "network/reach", f"{word} is nobody to reach", hint))
        known = (word for word in words if word in (SOURCE, GATEWAY, CALLER_HOST) or _HOST.fullmatch(word))
        settings = replace(settings, reach=tuple(known))
    if (within := entries.get("within")) and within.value is not None:
        try:
            seconds = timespan(str(within.value)) / 1e6
        except EncodeError as error:
            problems.append(_problem(within.where, "network/within", error.what, error.hint))
        else:
            if not LEAST_SEC <= seconds <= LONGEST_SEC:
                hint = f"{LEAST_SEC:g}s to {LONGEST_SEC:g}s"
                problems.append(_problem(within.where, "network/within", f"{within.value} is no such time", hint))
            else:
                settings = replace(settings, within_sec=seconds)
    return settings, problems


def _map(node: Node, pointer: str, known: tuple[str, ...] | None) -> tuple[Mapping[str, Node], list[Problem]]:
    """The entries of a map, and a problem for each key that is not ``known`` (None: any key will do)."""
    if not isinstance(node.value, Mapping):
        return {}, [_problem(node.where, pointer, "is no map", "key: value")]
    return node.value, [] if known is None else list(_unknown(node, pointer, known))


def _unknown(node: Node, pointer: str, known: tuple[str, ...]) -> Iterator[Problem]:
    for key, where in node.keys.items():
        if key not in known:
            below_pointer = f"{pointer}/{key}".lstrip("/")
            yield _problem(where, below_pointer, "is no setting", near(key, known) or ", ".join(known))


def _problem(where: Where, pointer: str, what: str, hint: str = "") -> Problem:
    return Problem(where=replace(where, pointer=pointer), what=what, hint=hint, code="Settings")
