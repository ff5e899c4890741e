"""Manifests of releases: a list of documents by their hashes, and the bytes that are signed.

The canonical form is the manifest without ``signatures`` as JSON: sorted keys, no blanks, UTF-8, only the escapes that
JSON requires, no fractions (the result of RFC 8785). ``jq -cjS 'del(.signatures)'`` prints the same bytes, so that
openssl alone can verify a release.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ordain.transforms.document import validate
from ordain.transforms.document.formats.formats import FORMATS
from ordain.transforms.document.formats.maintenance_windows import Window, parse_window
from ordain.transforms.document.keys.schema import VERSION, schema
from ordain.transforms.document.reader import read_nodes
from ordain.transforms.document.text.node import MAX_KEY, Node, Number, Unreadable
from ordain.transforms.errors import Problem, Refused, Where
from ordain.transforms.model import Kind
from ordain.transforms.systemd.values import timespan

MAX_BYTES = 1 << 20
"""The limit for a manifest, which is read before its signatures can be checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """The way in which the machines of a channel take a release; see transforms.document.keys.release_keys.

    Shares lie between 0 and 1. ``parallel`` 0 sets no limit to machines at a time. Without ``stages`` and ``stop_at``,
    all machines take the release at once, whatever its effect.
    """

    splay_sec: float = 0.0
    parallel: int = 0
    windows: tuple[Window, ...] = ()
    stages: tuple[float, ...] = ()
    stop_at: float | None = None
    soak_sec: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Release:
    """A manifest.

    ``documents`` maps names to SHA-256. ``expires`` is the time from which a machine reports that it waits for a newer
    release, in ISO 8601; "": never. ``data`` is the whole manifest as JSON data, and ``unknown`` names the keys in
    it that a later version of Ordain has added.
    """

    channel: str
    number: int
    schema: str
    documents: Mapping[str, str]
    signatures: Mapping[str, str]
    shrinks: bool
    rollout: Rollout
    expires: str = ""
    data: Mapping[str, Any] = field(repr=False)
    unknown: tuple[str, ...] = ()

    @cached_property
    def canonical(self) -> bytes:
        """Return the bytes that are signed."""
        return canonical(self.data)

    @cached_property
    def hash(self) -> str:
        """Return the SHA-256 of the canonical form, which identifies the release."""
        return hashlib.sha256(self.canonical).hexdigest()

    @property
    def title(self) -> str:
        """Return channel and number, such as ``stable 42``."""
        return f"{self.channel} {self.number}"

    def text(self) -> bytes:
        """Return the manifest as it is published: as indented JSON."""
        return json.dumps(self.data, indent=2, ensure_ascii=False).encode() + b"\n"

    def signed(self, key_id: str, signature: str) -> Release:
        """Return this release with one more signature."""
        signatures = {**self.signatures, key_id: signature}
        return replace(self, signatures=signatures, data={**self.data, "signatures": signatures})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseDraft:
    """The content of a new release; ``rollout`` has the keys and values of a document."""

    channel: str
    number: int
    documents: Mapping[str, str]
    created: str
    about: str = ""
    rollout: Mapping[str, Any] | None = None
    shrinks: bool = False
    expires: str = ""

    def release(self) -> Release:
        """Return the release, without signatures. Raises `Refused` if a value is invalid."""
        data: dict[str, Any] = {
            "ordain": VERSION,
            "kind": str(Kind.RELEASE),
            "name": f"{self.channel}-{self.number}",
            "channel": self.channel,
            "number": self.number,
            "schema": VERSION,
            "created": self.created,
            "expires": self.expires,
            "about": self.about,
            "shrinks": self.shrinks,
            "rollout": self.rollout,
            "documents": dict(sorted(self.documents.items())),
        }
        data = {key: value for key, value in data.items() if value not in ("", False, None)}
        return read_release(f"{self.channel}-{self.number}", json.dumps(data).encode())


def canonical(data: Mapping[str, Any]) -> bytes:
    """Return the bytes of a manifest that are signed.

    >>> canonical({"number": 1, "channel": "ä", "signatures": {}})
    b'{"channel":"\\xc3\\xa4","number":1}'
    """
    unsigned = {key: value for key, value in data.items() if key != "signatures"}
    return json.dumps(unsigned, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def read_release(path: str, text: bytes) -> Release:
    """Read a manifest in JSON or YAML. Raises `Refused` unless ``text`` is exactly one valid manifest.

    Keys of a later version are signed like all others, and otherwise ignored.

    Each machine reads the manifest at each check, and nearly all of it is the list of documents. `_split_documents`
    reads that list with Python's own JSON reader in an eighth of the time, and the reader of documents reads the rest.
    A manifest with anything odd is read as a whole, so that both ways accept the same texts, and problems have places.
    """
    if split := _split_documents(path, text):
        rest, documents = split
        with contextlib.suppress(Refused):
            release = _read_whole(path, rest)
            return replace(release, documents=documents, data={**release.data, "documents": documents})
    return _read_whole(path, text)


def _split_documents(path: str, text: bytes) -> tuple[bytes, dict[str, str]] | None:
    """Return a manifest in JSON without its documents, and the documents; None if anything in it is odd."""
    if path.endswith((".yaml", ".yml")) or len(text) > MAX_BYTES:
        return None
    try:
        data = json.loads(
            text.decode(),
            object_pairs_hook=_without_duplicates,
            parse_int=_plain_integer,
            parse_float=_refuse,
            parse_constant=_refuse,
        )
        documents = data["documents"]
        for name, hash in documents.items():
            FORMATS["document-name"](name)
            FORMATS["sha256"](hash)
            if len(name) > MAX_KEY:
                return None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return json.dumps({**data, "documents": {}}).encode(), documents


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a duplicate key")
    return entries


def _plain_integer(text: str) -> int:
    number = int(text)
    if str(number) != text:
        raise ValueError("an integer in an odd form")
    return number


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is not an integer")


def _read_whole(path: str, text: bytes) -> Release:
    """Read a manifest with the reader of documents, which knows places. Raises `Refused`."""
    try:
        if len(text) > MAX_BYTES:
            raise Unreadable(f"{len(text):,} bytes; a release has {MAX_BYTES:,} at most", Where(path=path))
        documents = list(read_nodes(path, text))
        if len(documents) != 1 or not isinstance(documents[0].value, Mapping):
            raise Unreadable("not one document", Where(path=path), "put a release into a file of its own")
        return _release(documents[0].value, documents[0])
    except Unreadable as error:
        raise Refused([error.problem]) from None


def _release(entries: Mapping[str, Node], node: Node) -> Release:
    kind = entries.get("kind")
    if kind is None or kind.value != Kind.RELEASE:
        other = f"a {kind.value}" if kind else "a text without a kind"
        raise Unreadable(f"expected a Release, found {other}", node.where)
    known = {name: child for name, child in entries.items() if name in schema(Kind.RELEASE)["properties"]}
    version = known.get("schema")
    if version is not None and isinstance(version.value, str) and version.value != VERSION:
        message = f"the documents use version {version.value} of the language; this Ordain knows only {VERSION}"
        raise Refused([Problem(where=version.where, what=message, hint="upgrade ordain", code="SchemaTooNew")])
    if problems := validate.problems(replace(node, value=known), Kind.RELEASE):
        raise Refused(problems)
    data = {name: _data(child) for name, child in entries.items()}
    try:
        rollout = _rollout(data.get("rollout") or {})
    except ValueError as error:  # the schema lets a template stand for a list
        hint = "write windows and stages as lists of texts"
        raise Unreadable(f"the rollout cannot be read: {error}", entries["rollout"].where, hint) from None
    return Release(
        channel=data["channel"],
        number=data["number"],
        schema=data["schema"],
        documents=data["documents"] or {},
        signatures=data.get("signatures") or {},
        shrinks=bool(data.get("shrinks")),
        rollout=rollout,
        expires=data.get("expires") or "",
        data=data,
        unknown=tuple(sorted(entries.keys() - known.keys())),
    )


def _data(node: Node) -> Any:
    """Return a node as JSON data that has only one canonical text. Raises `Unreadable` if it has several."""
    if isinstance(node.value, Mapping):
        return {name: _data(child) for name, child in node.value.items()}
    if isinstance(node.value, tuple):
        return [_data(child) for child in node.value]
    if isinstance(node.value, Number):
        if not node.value.integral or abs(node.value.number) >= 2**53:
            message = f"{node.value} can be written in several ways, so that its signature is not unique"
            raise Unreadable(message, node.where, "use a whole number below 2^53, or a string")
        return node.value.number
    if isinstance(node.value, str) and "\x7f" in node.value:
        message = "the character DEL, which JSON programs write in two ways"
        raise Unreadable(message, node.where, "remove it")
    return node.value


def _rollout(data: Mapping[str, Any]) -> Rollout:
    return Rollout(
        splay_sec=timespan(str(data.get("splay") or "0")) / 1e6,
        parallel=data.get("max-parallel") or 0,
        windows=tuple(map(parse_window, _listed(data.get("windows")))),
        stages=tuple(map(parse_share, _listed(data.get("stages")))),
        stop_at=parse_share(data["stop-at"]) if data.get("stop-at") else None,
        soak_sec=timespan(str(data.get("soak") or "0")) / 1e6,
    )


def parse_share(text: str) -> float:
    """Return a share as a number: 0.05 for ``5%``."""
    return float(text.removesuffix("%")) / 100


def _listed(value: Any) -> Iterable[str]:
    return [] if value is None else [value] if isinstance(value, str) else value
