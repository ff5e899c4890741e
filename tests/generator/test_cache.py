"""The boot cache: it is read as it was written, and refused if it is damaged."""

from __future__ import annotations

import string
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordain.generator.cache import Cache, CacheError, pack, unpack

Entry = tuple[str, int, bytes | None, bytes | None]

WEB: Entry = ("normal/web.service", 0o644, b"[Service]\nExecStart=/bin/true\n", None)
WANTS: Entry = ("normal/multi-user.target.wants/web.service", 0o777, None, b"../web.service")
SECRET: Entry = ("late/web.service.d/00-ordain.conf", 0o600, "[Unit]\nDescription=é\n".encode(), None)
SAMPLE = Cache(number=7, hash="c0ffee", machine_id="ab" * 16, boot_id="cd" * 16, entries=[WEB, SECRET, WANTS])


def values(cache: Cache) -> tuple[object, ...]:
    return cache.number, cache.hash, cache.machine_id, cache.boot_id, sorted(cache.entries, key=str)


def sealed(*fields: bytes) -> bytes:
    """Return a file with a correct checksum and any content."""
    body = b"\0".join(fields)
    return b"ordain-cache 1 %08x\n%s" % (crc32(body), body)


names = st.text(string.ascii_letters + string.digits + "@_\\-:.", min_size=1, max_size=40).filter(lambda n: n[0] != ".")
paths = st.builds("/".join, st.tuples(st.sampled_from(["normal", "early", "late"]), names)) | st.builds(
    "/".join, st.tuples(st.sampled_from(["normal", "early", "late"]), names, names)
)
payloads = st.binary(min_size=1, max_size=200).map(lambda b: b.replace(b"\0", b"\n"))
entries = st.lists(
    st.tuples(paths, st.integers(0, 0o777), payloads, st.none())
    | st.tuples(paths, st.just(0o777), st.none(), payloads),
    unique_by=lambda entry: entry[0],
)
ids = st.text("0123456789abcdef", min_size=32, max_size=32) | st.just("")


@pytest.mark.thorough
@given(number=st.integers(0, 10**17), hash=st.text(string.hexdigits), machine_id=ids, boot_id=ids, entries=entries)
def test_a_packed_cache_is_unpacked_unchanged(
    number: int, hash: str, machine_id: str, boot_id: str, entries: list[Entry]
) -> None:
    cache = Cache(number=number, hash=hash, machine_id=machine_id, boot_id=boot_id, entries=entries)

    assert values(unpack(pack(cache))) == values(cache)


@pytest.mark.thorough
@given(entries=entries, seed=st.randoms())
def test_the_order_of_entries_does_not_change_the_bytes(entries: list[Entry], seed: object) -> None:
    shuffled = list(entries)
    seed.shuffle(shuffled)  # type: ignore[attr-defined]

    assert pack(Cache(entries=shuffled)) == pack(Cache(entries=entries))


def test_links_come_last() -> None:
    unpacked = unpack(pack(Cache(entries=[WANTS, WEB])))

    assert [entry[0] for entry in unpacked.entries] == [WEB[0], WANTS[0]]


def test_ids_are_kept_without_dashes() -> None:
    cache = unpack(pack(Cache(boot_id="3c8d0cbb-5d32-4b3c-8a3a-1f1fb54cf5d4", entries=[])))

    assert cache.boot_id == "3c8d0cbb5d324b3c8a3a1f1fb54cf5d4"


def test_every_change_of_one_byte_is_detected() -> None:
    data = pack(
        Cache(
            number=12,
            hash="c0ffee",
            machine_id="0" * 32,
            boot_id="1" * 32,
            entries=[("normal/a.target", 0o644, b"[Unit]\n", None), ("normal/b.wants/a.target", 0o777, None, b"../a")],
            files=b'[{"path": "/etc/a"}]',
        )
    )
    for at, byte in enumerate(data):
        for other in {byte ^ bit for bit in (1, 2, 4, 8, 16, 32, 64, 128)} | {0, 0x20, 0x31, 0x41, 0xFF} - {byte}:
            with pytest.raises(CacheError):
                unpack(data[:at] + bytes([other]) + data[at + 1 :])


def test_a_flipped_bit_is_detected() -> None:
    data = pack(SAMPLE)
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(CacheError) as caught:
                unpack(bytes(damaged))
            assert caught.value.code in ("DamagedCache", "NewerCache")


def test_a_changed_byte_is_detected() -> None:
    data = pack(SAMPLE)
    for position in range(len(data)):
        for byte in {0, 10, 32, 47, 48, 57, 65, 97, 255} - {data[position]}:
            with pytest.raises(CacheError):
                unpack(data[:position] + bytes([byte]) + data[position + 1 :])


def test_a_truncated_or_extended_file_is_detected() -> None:
    data = pack(SAMPLE)
    for length in range(len(data)):
        with pytest.raises(CacheError, match="DamagedCache"):
            unpack(data[:length])
    for more in (b"\0", b"\n", data):
        with pytest.raises(CacheError, match="DamagedCache"):
            unpack(data + more)


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(noise: bytes) -> None:
    with pytest.raises(CacheError):
        unpack(noise)


@given(st.lists(st.binary(max_size=12), max_size=12))
def test_random_fields_with_a_correct_checksum_are_refused(fields: list[bytes]) -> None:
    try:
        cache = unpack(sealed(*fields))
    except CacheError:
        return
    assert all(path.startswith(("normal/", "early/", "late/")) for path, *_ in cache.entries)


def test_a_later_format_is_reported_as_such() -> None:
    with pytest.raises(CacheError, match="NewerCache: has format 2, but only 1 can be read"):
        unpack(b"ordain-cache 2 whatever comes then")


@pytest.mark.parametrize(
    "path",
    [
        "normal/../../etc/x.service",
        "normal/..",
        "normal/./x.service",
        "normal/.hidden",
        "normal/x.d/.hidden",
        "normal//x.service",
        "normal/",
        "normal",
        "normal/a.d/b.d/c.conf",
        "/etc/x.service",
        "other/x.service",
        "",
    ],
)
def test_an_invalid_path_is_neither_packed_nor_unpacked(path: str) -> None:
    with pytest.raises(CacheError, match="BadEntry"):
        pack(Cache(entries=[(path, 0o644, b"x", None)]))
    with pytest.raises(CacheError, match="BadEntry"):
        unpack(sealed(b"1", b"", b"", b"", path.encode(), b"644", b"x"))


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        pytest.param(("normal/x", 0o644, b"", None), "would mask", id="an empty file masks the unit"),
        pytest.param(("normal/x", 0o777, None, b""), "empty", id="an empty link"),
        pytest.param(("normal/x", 0o644, None, None), "neither", id="neither file nor link"),
        pytest.param(("normal/x", 0o644, b"x", b"y"), "neither", id="file and link"),
        pytest.param(("normal/x", 0o644, b"a\0b", None), "NUL", id="a NUL ends a line for systemd"),
        pytest.param(("normal/é.service", 0o644, b"a", None), "ascii", id="a name systemd does not allow"),
        pytest.param(("normal/\ud800.service", 0o644, b"a", None), "ascii", id="half a character from JSON"),
        pytest.param(("normal/x\0y", 0o644, b"a", None), "NUL", id="a NUL in a path"),
    ],
)
def test_an_invalid_entry_is_not_packed(entry: Entry, what: str) -> None:
    with pytest.raises(CacheError, match=what) as caught:
        pack(Cache(entries=[entry]))

    assert caught.value.code == "BadEntry"


def test_two_entries_with_the_same_path_are_refused() -> None:
    with pytest.raises(CacheError, match="the same path"):
        pack(Cache(entries=[WEB, WEB]))


@pytest.mark.parametrize("mode", [b"", b"-1", b"0o7", b"8", b"1_0", b"77777"])
def test_an_invalid_mode_is_refused(mode: bytes) -> None:
    with pytest.raises(CacheError, match="BadEntry"):
        unpack(sealed(b"1", b"", b"", b"", b"normal/x", mode, b"x"))
