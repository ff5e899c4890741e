"""The handover file of ordain-source.service, and the checks that it must pass in the agent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordain.agent.delivery.protocol import Snapshot, SourceError, SourceFault, SourceHealth
from ordain.agent.delivery.source import handover_source
from ordain.agent.delivery.source.directory_source import DirectorySource
from ordain.agent.delivery.source.handover_file import MAGIC, Handover, decode, encode
from ordain.agent.source_settings import SourceKind, SourceSettings
from ordain.agent.system import atomic_files

SETTINGS = SourceSettings(type=SourceKind.HTTP, endpoints=("https://boot/x",))
HEALTH = SourceHealth(connected=False, code=SourceFault.UNREACHABLE, what="https://boot: refused", hint="", since=12.5)
HANDOVER = Handover(
    location="https://boot/x",
    settings="abc",
    snapshot=Snapshot(texts=(("a", b"ordain: v1\n"), ("b", b"\xff\0\n")), revision="r1"),
    health=HEALTH,
)
_texts = st.text(st.characters(categories=("L", "N", "P")), max_size=20)


@pytest.mark.thorough
@given(st.lists(st.tuples(_texts, st.binary(max_size=50)), max_size=5), _texts)
def test_a_handover_can_be_read_back(texts: list[tuple[str, bytes]], revision: str) -> None:
    handover = replace(HANDOVER, snapshot=Snapshot(texts=tuple(texts), revision=revision, waiting="held by alice"))

    assert decode(encode(handover)) == handover


def test_a_handover_of_an_earlier_version_waits_for_nothing() -> None:
    assert decode(encode(HANDOVER).replace(b'"waiting": "", ', b"")) == HANDOVER


@given(st.integers(0, len(encode(HANDOVER)) - 1), st.integers(1, 255))
def test_a_changed_byte_is_noticed_or_harmless(at: int, change: int) -> None:
    data = bytearray(encode(HANDOVER))
    data[at] ^= change

    with contextlib.suppress(SourceError):
        found = decode(bytes(data))
        # The byte was in the header; the documents are the same.
        assert [text for _, text in found.snapshot.texts] == [text for _, text in HANDOVER.snapshot.texts]


def header(**changes: object) -> bytes:
    data = encode(HANDOVER)
    lines = data.split(b"\n", 2)
    return b"\n".join((lines[0], json.dumps(json.loads(lines[1]) | changes).encode(), lines[2]))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b"ordain-handover 2\n{}\n",
        MAGIC + b"{}",
        MAGIC + b"{}\n",
        MAGIC + b"[" * 100_000 + b"\n",
        MAGIC + b'{"documents": ' + b"9" * 5000 + b"}\n",
        encode(HANDOVER)[:-1],
        encode(HANDOVER) + b"x",
        header(documents=[["a", -1], ["b", 15]]),
        header(documents=[["a", True], ["b", 13]]),
        header(documents=[["a\x1b[2J", 11], ["b", 3]]),
        header(documents=[["a", 11, 3]]),
        header(documents={"a": 14}),
        header(location="x" * 3000),
        header(revision=None),
        header(health={"connected": 1, "code": "", "what": "", "hint": "", "since": 0}),
        header(health={"connected": True, "code": "Nonsense", "what": "", "hint": "", "since": 0}),
        header(health={"connected": True, "code": "", "what": "", "hint": "", "since": 1e99}),
        header(health={"connected": True, "code": "", "what": "", "hint": "", "since": 10**400}),
    ],
)
def test_an_invalid_handover_is_refused(data: bytes) -> None:
    with pytest.raises(SourceError) as caught:
        decode(data)

    assert caught.value.code is SourceFault.HANDOVER


ODD: tuple[object, ...] = (
    None, True, -1, 0.5, 10**400, "", "\ud800", "\x1b[31m", "x" * 100_000, [], {}, [[]], [None] * 30_000,
    {"": {"": []}}, [["a", 10**400]], [["a", None]], [[["a"], 1]], [["a"]], "[" * 10_000, {"since": "1"},
    float("nan"), float("inf"),
)  # fmt: skip


@pytest.mark.parametrize("key", ["location", "settings", "revision", "health", "documents", "sha256", "unknown"])
def test_odd_values_end_in_an_error_of_the_source(key: str) -> None:
    for value in ODD:
        with contextlib.suppress(SourceError):
            decode(header(**{key: value}))
    for field in ("connected", "code", "what", "hint", "since"):
        for value in ODD:
            with contextlib.suppress(SourceError):
                decode(
                    header(health={"connected": False, "code": "", "what": "", "hint": "", "since": 1, field: value})
                )


@given(st.binary(max_size=300), st.binary(max_size=100))
def test_any_header_ends_in_an_error_of_the_source(head: bytes, rest: bytes) -> None:
    with pytest.raises(SourceError):
        decode(MAGIC + head + b"\n" + rest)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(handover_source, "USER", pwd.getpwuid(os.getuid()).pw_name)
    path = tmp_path / "run/ordain-source/handover"
    path.parent.mkdir(parents=True)
    return path


def read(root: Path) -> Snapshot:
    return asyncio.run(handover_source.HandoverSource(root, SETTINGS).read())


def test_the_agent_reads_documents_and_health_of_the_source(tmp_path: Path, place: Path) -> None:
    place.write_bytes(encode(HANDOVER))

    found = read(tmp_path)

    assert found.texts == HANDOVER.snapshot.texts
    assert found.health == HEALTH


def test_a_new_handover_is_noticed_at_once(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service replaces the file, so that there is no burst whose end must be awaited."""
    monkeypatch.setattr(DirectorySource.__init__, "__kwdefaults__", {"quiet_sec": 60.0})

    async def story() -> None:
        changes = handover_source.HandoverSource(tmp_path, SETTINGS).changes()
        async with asyncio.timeout(30), contextlib.aclosing(changes):  # type: ignore[type-var]
            await anext(changes)
            atomic_files.replace(place, encode(HANDOVER))
            await anext(changes)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("handover", "code"),
    [
        (None, SourceFault.STARTING),
        (replace(HANDOVER, location="https://elsewhere/x"), SourceFault.STARTING),
        (replace(HANDOVER, snapshot=Snapshot(texts=())), SourceFault.UNREACHABLE),
    ],
)
def test_a_source_without_documents_yet_is_an_error_with_its_code(
    tmp_path: Path, place: Path, handover: Handover | None, code: SourceFault
) -> None:
    if handover:
        place.write_bytes(encode(handover))

    with pytest.raises(SourceError) as caught:
        read(tmp_path)

    assert caught.value.code is code


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "foreign", "huge"])
def test_a_file_that_the_service_did_not_write_is_refused(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    good = tmp_path / "good"
    good.write_bytes(encode(HANDOVER))
    match kind:
        case "link":
            place.symlink_to(good)
        case "pipe":
            os.mkfifo(place)
        case "folder":
            place.mkdir()
        case "foreign":
            place.write_bytes(encode(HANDOVER))
            monkeypatch.setattr(handover_source, "USER", "nobody" if os.getuid() == 0 else "root")
        case "huge":
            place.write_bytes(encode(HANDOVER))
            os.truncate(place, 1 << 30)

    with pytest.raises(SourceError) as caught:
        read(tmp_path)

    assert caught.value.code is (SourceFault.TOO_LARGE if kind == "huge" else SourceFault.HANDOVER)
