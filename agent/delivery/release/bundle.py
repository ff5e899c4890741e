"""A release and its documents as one text, for what carries one text: a boot server, an initrd; pure.

    --- # 412 bytes, stable.json
    {"ordain": "v1", "kind": "Release", …}
    --- # 61 bytes, role=web/nginx.yaml
    ordain: v1
    …

It is YAML, but it is cut by what it says of sizes: a document is hashed byte for byte, and may hold ``---`` itself, or
end without a newline. Without sizes, as when somebody puts files together by hand, it is cut at ``---``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from ordain.agent.model import RawDocument, RawDocuments

_RELEASE = re.compile(rb"""^["']?kind["']?[ \t]*:[ \t]*["']?Release["']?[ \t\r]*(#.*)?$""", re.MULTILINE)
_SEPARATOR = re.compile(rb"^---[ \t]*\r?\n", re.MULTILINE)
_HEAD = re.compile(rb"--- # ([0-9]{1,9}) bytes, ([^\n]{1,1000})\n")


def bundle(texts: Iterable[RawDocument]) -> bytes:
    """``texts`` (name and bytes) as one, in their order.

    >>> bundle([("a.yaml", b"a: 1")])
    b'--- # 4 bytes, a.yaml\\na: 1\\n'
    """
    return b"".join(b"--- # %d bytes, %s\n%s\n" % (len(data), _shown(name), data) for name, data in texts)


def unbundle(text: bytes) -> RawDocuments:
    """The inverse of `bundle`; nothing for a text that is none.

    >>> pieces(b"--- # 4 bytes, a.yaml\\na: 1\\n"), pieces(b"a: 1")
    ((('a.yaml', b'a: 1'),), ())
    """
    found = []
    at = 0
    while at < len(text):
        head = _HEAD.match(text, at)
        if head is None:
            return ()
        end = head.end() + int(head[1])
        if end > len(text):
            break  # it was cut off: what is missing will be missed
        found.append((_shown(head[2].decode("utf-8", "replace")).decode(), text[head.end() : end]))
        at = end + 1
    return tuple(found)


def split_releases(texts: Iterable[RawDocument]) -> RawDocuments:
    """``texts`` with manifests and documents one by one, where they hold a release; as they are where not.

    A path has the name that a bundle gave the piece, or its number, behind ``#``.
    """
    texts = tuple(texts)
    cut: list[RawDocument] = []
    for path, data in texts:
        cut += [(f"{path}#{name}", piece) for name, piece in unbundle(data)] or [(path, data)]
    if _released(cut):
        return tuple(cut)
    cut = [(f"{path}#{n}", piece) for path, data in texts for n, piece in enumerate(_SEPARATOR.split(data), 1)]
    return tuple(cut) if _released(cut) else texts


def holds_release(texts: Iterable[RawDocument]) -> bool:
    """Whether a manifest is among ``texts``, by itself or within one."""
    return _released(split_releases(texts))


def is_manifest(data: bytes) -> bool:
    """Whether a text says that it is a Release.

    >>> is_manifest(b'{"ordain": "v1", "kind": "Release"}'), is_manifest(b"kind: Layer\\nname: Release")
    (True, False)
    """
    if b"Release" not in data:
        return False
    if not data.lstrip().startswith(b"{"):
        return _RELEASE.search(data) is not None
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("kind") == "Release"


def _released(texts: Iterable[RawDocument]) -> bool:
    return any(is_manifest(data) for _, data in texts)


def _shown(name: str) -> bytes:
    return "".join(c if c.isprintable() else "?" for c in name).encode()
