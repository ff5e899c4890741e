"""A release and its documents as one text, for carriers of a single text: a boot server, an initrd.

    --- # 412 bytes, stable.json
    {"ordain": "v1", "kind": "Release", …}
    --- # 61 bytes, role=web/nginx.yaml
    ordain: v1
    …

The text is valid YAML, but it is split by the sizes in these comments: a document is hashed byte for byte, and it may
contain ``---`` itself or end without a newline. A text without sizes, such as files that somebody has concatenated, is
split at ``---``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from ordain.agent.model import RawDocument, RawDocuments
from ordain.transforms.lazy_patterns import lazy_pattern

_RELEASE = lazy_pattern(rb"""^["']?kind["']?[ \t]*:[ \t]*["']?Release["']?[ \t\r]*(#.*)?$""", re.MULTILINE)
_SEPARATOR = lazy_pattern(rb"^---[ \t]*\r?\n", re.MULTILINE)
_HEADER = lazy_pattern(rb"--- # ([0-9]{1,9}) bytes, ([^\n]{1,1000})\n")


def bundle(texts: Iterable[RawDocument]) -> bytes:
    """Join texts, pairs of name and bytes, in their order.

    >>> bundle([("a.yaml", b"a: 1")])
    b'--- # 4 bytes, a.yaml\\na: 1\\n'
    """
    return b"".join(b"--- # %d bytes, %s\n%s\n" % (len(data), _printable(name), data) for name, data in texts)


def unbundle(text: bytes) -> RawDocuments:
    """Split a text that `bundle` has made; return () for any other text.

    >>> unbundle(b"--- # 4 bytes, a.yaml\\na: 1\\n"), unbundle(b"a: 1")
    ((('a.yaml', b'a: 1'),), ())
    """
    pieces = []
    at = 0
    while at < len(text):
        header = _HEADER.match(text, at)
        if header is None:
            return ()
        end = header.end() + int(header[1])
        if end > len(text):
            break  # the text was cut off: the missing documents are reported later
        pieces.append((_printable(header[2].decode("utf-8", "replace")).decode(), text[header.end() : end]))
        at = end + 1
    return tuple(pieces)


def split_releases(texts: Iterable[RawDocument]) -> RawDocuments:
    """Split ``texts`` into manifests and single documents if they contain a release; else return them unchanged.

    The path of a piece ends with ``#`` and the name that the bundle gave it, or its number.
    """
    texts = tuple(texts)
    pieces: list[RawDocument] = []
    for path, data in texts:
        pieces += [(f"{path}#{name}", piece) for name, piece in unbundle(data)] or [(path, data)]
    if _has_manifest(pieces):
        return tuple(pieces)
    pieces = [(f"{path}#{n}", piece) for path, data in texts for n, piece in enumerate(_SEPARATOR.split(data), 1)]
    return tuple(pieces) if _has_manifest(pieces) else texts


def holds_release(texts: Iterable[RawDocument]) -> bool:
    """Return whether one of ``texts`` is or contains a manifest."""
    return _has_manifest(split_releases(texts))


def is_manifest(data: bytes) -> bool:
    """Return whether a text says that it is a Release.

    >>> is_manifest(b'{"ordain": "v1", "kind": "Release"}'), is_manifest(b"kind: Layer\\nname: Release")
    (True, False)
    """
    if b"Release" not in data:
        return False
    if not data.lstrip().startswith(b"{"):
        return _RELEASE.search(data) is not None
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and value.get("kind") == "Release"


def _has_manifest(texts: Iterable[RawDocument]) -> bool:
    return any(is_manifest(data) for _, data in texts)


def _printable(name: str) -> bytes:
    return "".join(c if c.isprintable() else "?" for c in name).encode()
