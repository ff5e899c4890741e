"""A Release: a list of documents by hash, and the bytes that its signatures are over; pure.

The canonical form is the manifest without ``signatures`` as JSON: keys sorted, no blanks, UTF-8, no escapes that JSON
does not ask for, no fractions (what RFC 8785 makes of it). ``jq -cjS 'del(.signatures)'`` prints the same bytes, so
that openssl alone can check a release.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ordain.transforms.document import validate
from ordain.transforms.document.maintenance_windows import Window, window
from ordain.transforms.document.node import Node, Number, Unreadable
from ordain.transforms.document.reader import nodes
from ordain.transforms.document.schema import VERSION, schema
from ordain.transforms.errors import NOWHERE, Problem, Refused, Severity, Where
from ordain.transforms.model import Kind
from ordain.transforms.systemd.values import timespan

MAX_BYTES = 1 << 20
"""Of a manifest; it is read before its signatures can be checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How the machines of a channel take a release; see transforms.releasekeys. Shares lie between 0 and 1.

    ``parallel`` 0: any number at a time. ``stages`` () and ``stop_at`` None: all at once, whatever comes of it.
    """

    splay_sec: float = 0.0
    parallel: int = 0
    windows: tuple[Window, ...] = ()
    stages: tuple[float, ...] = ()
    stop_at: float | None = None
    soak_sec: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Release:
    """A manifest. ``documents`` maps names to SHA-256; ``data`` is all of it as JSON data, ``unknown`` the keys that a
    later version added."""

    channel: str
    number: int
    schema: str
    documents: Mapping[str, str]
    signatures: Mapping[str, str]
    shrinks: bool
    rollout: Rollout
    data: Mapping[str, Any] = field(repr=False)
    unknown: tuple[str, ...] = ()

    @cached_property
    def canonical(self) -> bytes:
        """What is signed."""
        return canonical(self.data)

    @cached_property
    def hash(self) -> str:
        """The SHA-256 of the canonical form: the release's identity."""
        return hashlib.sha256(self.canonical).hexdigest()

    @property
    def title(self) -> str:
        """For people: ``stable 42``."""
        return f"{self.channel} {self.number}"

    def text(self) -> bytes:
        """The manifest as it is published: JSON for people and machines."""
        return json.dumps(self.data, indent=2, ensure_ascii=False).encode() + b"\n"

    def signed(self, key_id: str, signature: str) -> Release:
        """This release with one more signature."""
        signatures = {**self.signatures, key_id: signature}
        return replace(self, signatures=signatures, data={**self.data, "signatures": signatures})


def canonical(data: Mapping[str, Any]) -> bytes:
    """The bytes that are signed.

    >>> canonical({"number": 1, "channel": "ä", "signatures": {}})
    b'{"channel":"\\xc3\\xa4","number":1}'
    """
    bare = {key: value for key, value in data.items() if key != "signatures"}
    return json.dumps(bare, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def make(
    *,
    channel: str,
    number: int,
    documents: Mapping[str, str],
    created: str,
    about: str = "",
    rollout: Mapping[str, Any] | None = None,
    shrinks: bool = False,
) -> Release:
    """A manifest without signatures. Raises `Refused`."""
    data: dict[str, Any] = {
        "ordain": VERSION,
        "kind": str(Kind.RELEASE),
        "name": f"{channel}-{number}",
        "channel": channel,
        "number": number,
        "schema": VERSION,
        "created": created,
        "about": about,
        "shrinks": shrinks,
        "rollout": rollout,
        "documents": dict(sorted(documents.items())),
    }
    data = {key: value for key, value in data.items() if value not in ("", False, None)}
    return read_release(f"{channel}-{number}", json.dumps(data).encode())


def read_release(path: str, text: bytes) -> Release:
    """Read a manifest, JSON or YAML. Raises `Refused` for anything that is not exactly one.

    Keys of a later version are signed like all others, and left out of account.
    """
    try:
        if len(text) > MAX_BYTES:
            raise Unreadable(f"{len(text):,} bytes; a release has {MAX_BYTES:,} at most", Where(path=path))
        found = list(nodes(path, text))
        if len(found) != 1 or not isinstance(found[0].value, Mapping):
            raise Unreadable("not one document", Where(path=path), "a release is a file of its own")
        return _release(found[0].value, found[0])
    except Unreadable as error:
        raise Refused([error.problem]) from None


def _release(entries: Mapping[str, Node], node: Node) -> Release:
    kind = entries.get("kind")
    if kind is None or kind.value != Kind.RELEASE:
        raise Unreadable(f"it is {f'a {kind.value}' if kind else 'no document'}, and no Release", node.where)
    known = {name: child for name, child in entries.items() if name in schema(Kind.RELEASE)["properties"]}
    version = known.get("schema")
    if version is not None and isinstance(version.value, str) and version.value != VERSION:
        what = f"its documents are written in version {version.value} of the language, and this is {VERSION}"
        raise Refused([Problem(where=version.where, what=what, hint="upgrade ordain", code="SchemaTooNew")])
    if problems := validate.problems(replace(node, value=known), Kind.RELEASE):
        raise Refused(problems)
    data = {name: _data(child) for name, child in entries.items()}
    return Release(
        channel=data["channel"],
        number=data["number"],
        schema=data["schema"],
        documents=data["documents"] or {},
        signatures=data.get("signatures") or {},
        shrinks=bool(data.get("shrinks")),
        rollout=_rollout(data.get("rollout") or {}),
        data=data,
        unknown=tuple(sorted(entries.keys() - known.keys())),
    )


def _data(node: Node) -> Any:
    """A node as JSON data, whose text does not depend on how it was written. Raises `Unreadable`."""
    if isinstance(node.value, Mapping):
        return {name: _data(child) for name, child in node.value.items()}
    if isinstance(node.value, tuple):
        return [_data(child) for child in node.value]
    if isinstance(node.value, Number):
        if not node.value.integral or abs(node.value.number) >= 2**53:
            raise Unreadable(f"{node.value} has no one way to be written", node.where, "whole numbers, or a string")
        return node.value.number
    if isinstance(node.value, str) and "\x7f" in node.value:
        raise Unreadable("a DEL, which programs write in two ways", node.where)
    return node.value


def _rollout(data: Mapping[str, Any]) -> Rollout:
    return Rollout(
        splay_sec=timespan(str(data.get("splay") or "0")) / 1e6,
        parallel=data.get("max-parallel") or 0,
        windows=tuple(map(window, _listed(data.get("windows")))),
        stages=tuple(map(parse_share, _listed(data.get("stages")))),
        stop_at=parse_share(data["stop-at"]) if data.get("stop-at") else None,
        soak_sec=timespan(str(data.get("soak") or "0")) / 1e6,
    )


def parse_share(text: str) -> float:
    """A share as a number: ``5%`` is 0.05."""
    return float(text.removesuffix("%")) / 100


def _listed(value: Any) -> Iterable[str]:
    return [] if value is None else [value] if isinstance(value, str) else value


def unknown_key_warnings(release: Release) -> tuple[Problem, ...]:
    """What is left out of account."""
    return tuple(
        Problem(
            where=replace(NOWHERE, pointer=name),
            what=f"release {release.title}: a key of a later version, ignored",
            code="UnknownKey",
            severity=Severity.WARNING,
        )
        for name in release.unknown
    )
