"""Manifests of releases: the fast reading of the documents accepts and refuses what the reader of documents does."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator

import pytest

from ordain.agent.delivery.release import manifest
from ordain.agent.delivery.release.manifest import Release, ReleaseDraft, read_release
from ordain.transforms.errors import Refused

HASHES = [f"{number:064x}" for number in range(3)]
RELEASE = ReleaseDraft(
    channel="stable",
    number=42,
    documents={"common/base.yaml": HASHES[0], "role=web/nginx.yaml": HASHES[1]},
    created="2026-11-29T12:00:00+00:00",
    about="ä note: « é »",
    rollout={"splay": "5m", "stages": ["1%", "100%"], "max-parallel": 2},
).release()
TEXT = RELEASE.signed("0123456789abcdef", "A" * 86 + "==").text().decode()
ODD = {
    "another order of keys": json.dumps(dict(reversed(json.loads(TEXT).items()))),
    "no blanks": json.dumps(json.loads(TEXT), separators=(",", ":")),
    "escaped": json.dumps(json.loads(TEXT)).replace("common/", r"common\/").replace("web", r"\u0077eb"),
    "a key of a later version": TEXT.replace('"number"', '"later": {"a": [1, null, "x"]}, "number"'),
    "no documents": json.dumps(json.loads(TEXT) | {"documents": {}}),
    "documents are null": json.dumps(json.loads(TEXT) | {"documents": None}),
    "documents are a list": json.dumps(json.loads(TEXT) | {"documents": HASHES}),
    "documents are missing": json.dumps({k: v for k, v in json.loads(TEXT).items() if k != "documents"}),
    "a duplicate document": TEXT.replace('"role=web/nginx.yaml"', '"common/base.yaml"'),
    "a duplicate key": TEXT.replace('"kind"', '"number": 43, "kind"'),
    "a duplicate list of documents": TEXT.replace('"kind"', '"documents": {}, "kind"'),
    "a hash in capitals": TEXT.replace(HASHES[1], HASHES[1].replace("0", "A", 1)),
    "a hash that is cut": TEXT.replace(HASHES[1], HASHES[1][:-1]),
    "a hash with a line end": TEXT.replace(HASHES[1], HASHES[1] + r"\n"),
    "a hash that is a number": TEXT.replace(f'"{HASHES[1]}"', "1"),
    "a hash that is null": TEXT.replace(f'"{HASHES[1]}"', "null"),
    "a name without a scope": TEXT.replace("common/base.yaml", "base.yaml"),
    "a name with a blank": TEXT.replace("common/base.yaml", "common/b ase.yaml"),
    "a name with DEL": TEXT.replace("common/base.yaml", "common/b\x7fase.yaml"),
    "an endless name": TEXT.replace("common/base.yaml", "common/" + "a" * 2000),
    "half a surrogate": TEXT.replace("note", r"\ud800"),
    "NUL": TEXT.replace("note", r"\u0000"),
    "a byte order mark": "\ufeff" + TEXT,
    "a line end in a string": TEXT.replace("note", "no\nte"),
    "a fraction": TEXT.replace('"number": 42', '"number": 42.0'),
    "an exponent": TEXT.replace('"number": 42', '"number": 42e0'),
    "a leading zero": TEXT.replace('"number": 42', '"number": 042'),
    "minus zero": TEXT.replace('"max-parallel": 2', '"max-parallel": -0'),
    "NaN": TEXT.replace('"number": 42', '"number": NaN'),
    "2^53": TEXT.replace('"number": 42', f'"number": {2**53}'),
    "5,000 digits": TEXT.replace('"number": 42', '"number": 1' + "0" * 5000),
    "a deep nesting": TEXT.replace('"number"', '"later": ' + "[" * 5000 + "]" * 5000 + ', "number"'),
    "text after the end": TEXT + "{}",
    "two in a list": f"[{TEXT}, {TEXT}]",
    "one in a list": f"[{TEXT}]",
    "YAML": TEXT.replace('"kind": "Release"', "kind: Release"),
    "a comment of YAML": "# note\n" + TEXT,
    "another kind": TEXT.replace('"Release"', '"Layer"'),
    "too new": TEXT.replace('"schema": "v1"', '"schema": "v2"'),
    "tabs": TEXT.replace("  ", "\t"),
    "carriage returns": TEXT.replace("\n", "\r\n"),
}


def _mutations() -> Iterator[str]:
    """Yield texts in which one place of `TEXT` is another one: cut, doubled, or a character that JSON cares about."""
    draw = random.Random(7)
    for _ in range(400):
        at, length = draw.randrange(len(TEXT)), draw.choice((0, 1, 1, 3, 20))
        yield TEXT[:at] + draw.choice(["", *'"{}[],:\\\x7f0e. ', "\\u", TEXT[at : at + 30]]) + TEXT[at + length :]


def _outcome(read: Callable[[str, bytes], Release], path: str, text: str) -> object:
    try:
        release = read(path, text.encode("utf-8", "surrogatepass"))
    except Refused as refused:
        return [str(problem) for problem in refused.problems]
    return release, release.canonical, release.text(), list(release.data), release.hash


@pytest.mark.parametrize("path", ["releases/stable/head", "stable.json", "stable.yaml"])
@pytest.mark.parametrize("text", [TEXT, *ODD.values()], ids=["as written", *ODD])
def test_a_manifest_is_read_as_the_reader_of_documents_reads_it(path: str, text: str) -> None:
    assert _outcome(read_release, path, text) == _outcome(manifest._read_whole, path, text)


def test_changed_manifests_are_read_as_the_reader_of_documents_reads_them() -> None:
    for text in _mutations():
        assert _outcome(read_release, "head", text) == _outcome(manifest._read_whole, "head", text), text


def test_a_manifest_as_it_is_written_is_read_by_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[bytes] = []
    whole = manifest._read_whole

    def read_rest(path: str, text: bytes) -> Release:
        texts.append(text)
        return whole(path, text)

    monkeypatch.setattr(manifest, "_read_whole", read_rest)

    assert read_release("head", TEXT.encode()).documents == RELEASE.documents
    assert [HASHES[1].encode() in text for text in texts] == [False]
