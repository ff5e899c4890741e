"""/etc/ordain/agent.yaml → `Settings`; labels are read with the facts (`transforms.facts`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from ordain.transforms import below, yamltext
from ordain.transforms.errors import Problem, Where, near
from ordain.transforms.node import Node, Unreadable
from ordain.transforms.values import EncodeError, timespan

PATH = "etc/ordain/agent.yaml"
DOCUMENTS = "/etc/ordain/documents"
KEYS = ("source", "labels", "trust", "network")
SOURCE, GATEWAY, CALLER_HOST = "source", "gateway", "caller"
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_.-]+):[0-9]{1,5}")
LEAST_SEC, LONGEST_SEC = 1.0, 3600.0
LATER = ("etcd", "couchdb", "http")


class Trust(StrEnum):
    """Whose documents are taken (product.md, Files)."""

    LOCAL = "local"
    REQUIRED = "required"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the admin of this machine set; the defaults are those of a machine without the file.

    ``hosts``: HOST:PORT of what the documents come from over the network. ``reach``: who must still be reached
    ``within_sec`` of a change of the network (`agent.reach`).
    """

    directory: str = DOCUMENTS
    trust: Trust = Trust.LOCAL
    hosts: tuple[str, ...] = ()
    reach: tuple[str, ...] = (SOURCE, GATEWAY, CALLER_HOST)
    within_sec: float = 30.0


def read_settings(root: Path) -> tuple[Settings, tuple[Problem, ...]]:
    """The settings below ``root``, and what is wrong with them; what is wrong keeps its default."""
    data = below.read(root, PATH)
    if data is None:
        return Settings(), ()
    path = f"/{PATH}"
    try:
        node = next(yamltext.read(path, data.decode()), None)
    except UnicodeDecodeError:
        return Settings(), (Problem(where=Where(path=path), what="is not UTF-8", code="Settings"),)
    except Unreadable as unreadable:
        return Settings(), (replace(unreadable.problem, code="Settings"),)
    if node is None:
        return Settings(), ()
    return _settings(node)


def _settings(node: Node) -> tuple[Settings, tuple[Problem, ...]]:
    entries, problems = _map(node, "", KEYS)
    settings = Settings()
    trust = entries.get("trust")
    if trust is not None and trust.value is not None:
        try:
            settings = replace(settings, trust=Trust(str(trust.value)))
        except ValueError:
            hint = f"one of {', '.join(Trust)}"
            problems.append(_problem(trust.where, "trust", f"{trust.value} is no way to trust", hint))
        else:
            if settings.trust is Trust.REQUIRED:
                what = "signed releases are not served yet, so no document is taken"
                problems.append(_problem(trust.where, "trust", what, "trust: local"))
    source = entries.get("source")
    if source is not None and source.value is not None:
        directory, found = _source(source)
        settings = replace(settings, directory=directory, hosts=tuple(_hosts(source)))
        problems += found
    if network := entries.get("network"):
        settings, found = _network(network, settings)
        problems += found
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


def _hosts(source: Node) -> Iterator[str]:
    """HOST:PORT of every URL of a source."""
    if not isinstance(source.value, Mapping):
        return
    for key in ("url", "endpoints"):
        found = source.value.get(key)
        values = found.value if found and isinstance(found.value, tuple) else (found,) if found else ()
        for node in values:
            try:
                url = urlsplit(str(node.value))
                port = url.port or {"http": 80, "https": 443}.get(url.scheme, 0)
            except ValueError:
                continue
            if url.hostname and port:
                yield f"[{url.hostname}]:{port}" if ":" in url.hostname else f"{url.hostname}:{port}"


def _source(node: Node) -> tuple[str, list[Problem]]:
    entries, problems = _map(node, "source", None)
    kind = entries.get("type")
    word = "directory" if kind is None else str(kind.value)
    if word in LATER:
        what = f"a source of type {word} is not served yet"
        return DOCUMENTS, [_problem(node.where, "source/type", what, "type: directory")]
    if word != "directory":
        where = node.where if kind is None else kind.where
        return DOCUMENTS, [
            _problem(where, "source/type", f"{word} is no type of source", near(word, ("directory", *LATER)))
        ]
    entries, problems = _map(node, "source", ("type", "path"))
    path = entries.get("path")
    if path is None or path.value is None:
        return DOCUMENTS, problems
    if not isinstance(path.value, str) or not path.value.startswith("/") or "\0" in path.value:
        problems.append(_problem(path.where, "source/path", "is no absolute path", f"path: {DOCUMENTS}"))
        return DOCUMENTS, problems
    return path.value, problems


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
