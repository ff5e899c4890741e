"""Releases in a store: published, read by a machine, and admitted or refused by it."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from ordain.agent.delivery.database.database import ANY
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.protocol import Snapshot, SourceError
from ordain.agent.delivery.release import publish_lock, signing
from ordain.agent.delivery.release.admission import Admission
from ordain.agent.delivery.release.assemble import assemble
from ordain.agent.delivery.release.bundle import bundle, is_manifest
from ordain.agent.delivery.release.highest_accepted import read_highest
from ordain.agent.delivery.release.manifest import Release, ReleaseDraft
from ordain.agent.delivery.release.publish import BLOBS, head_key, list_releases, number_key, publish, read_head
from ordain.agent.delivery.source.release_reader import ReleaseReader
from ordain.agent.errors import Failure
from ordain.agent.settings import Trust
from ordain.transforms.errors import Refused
from ordain.transforms.model import Facts
from rig.stores.signing_keys import key_of

BASE = b"ordain: v1\nkind: Layer\nname: base\n"
WEB = b"ordain: v1\nkind: Layer\nname: web\nmatch: {role: web}\nservices: {web: {command: /bin/web}}\n"
DB = b"ordain: v1\nkind: Layer\nname: db\nmatch: {role: db}\n"
NODE = b"ordain: v1\nkind: Node\nname: web3\nlabels: {role: web}\n"
FILES = (("base.yaml", BASE), ("web.yaml", WEB), ("db.yaml", DB), ("nodes.yaml", NODE))
MACHINE = Facts(id="debian", version="13", systemd=257, hostname="web3", machine_id="0" * 32)


class Fleet:
    """A store, a publisher and one machine."""

    def __init__(self, path: Path) -> None:
        (path / "store").mkdir()
        self.database = DirectoryDatabase(path / "store")
        self.root = path / "machine"
        private, key = key_of(1)
        self.private, self.key = private, key
        (self.root / "etc/ordain/trust").mkdir(parents=True)
        (self.root / "etc/ordain/trust/ops.pub").write_text(key.line)
        self.facts = MACHINE
        self.reader = ReleaseReader(self.database, lambda: self.facts, {})

    def signed(self, number: int, files: tuple[tuple[str, bytes], ...] = FILES, channel: str = "stable") -> Release:
        made = ReleaseDraft(channel=channel, number=number, documents=assemble(files).names, created="now").release()
        return made.signed(self.key.id, signing.sign(self.private, made.canonical))

    def publish(self, number: int, files: tuple[tuple[str, bytes], ...] = FILES, channel: str = "stable") -> Release:
        release = self.signed(number, files, channel)
        asyncio.run(publish(self.database, release, assemble(files).blobs))
        return release

    def read(self) -> Snapshot:
        return asyncio.run(self.reader.read())

    def admit(self, snapshot: Snapshot, trust: Trust = Trust.LOCAL) -> Snapshot:
        admission = Admission(root=self.root, trust=trust, check=signing.valid_signers)
        return admission.admit(snapshot, self.facts, {})[0]

    def take(self) -> Snapshot:
        return self.admit(self.read())


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def test_a_machine_fetches_only_the_documents_that_it_may_match(fleet: Fleet) -> None:
    fleet.publish(1)

    brought = fleet.read()
    taken = fleet.admit(brought)

    assert taken.texts == (("base.yaml", BASE), ("nodes.yaml", NODE), ("web.yaml", WEB))
    assert DB not in [data for _, data in brought.texts]
    assert fleet.reader.prefixes == ("releases/stable/head",)
    assert read_highest(fleet.root)["stable"].number == 1


def test_files_keep_their_names_and_a_file_in_several_scopes_is_read_once(fleet: Fleet) -> None:
    both = WEB + b"---\n" + BASE.replace(b"base", b"more")
    fleet.publish(1, (("both.yaml", both), ("nodes.yaml", NODE)))

    assert fleet.take().texts == (("both.yaml", both), ("nodes.yaml", NODE))


def test_publishing_again_changes_nothing_and_continues_an_interrupted_run(fleet: Fleet) -> None:
    release = fleet.signed(1)
    blobs = assemble(FILES).blobs

    with pytest.raises(Failure, match="neither in the store nor among the files"):
        asyncio.run(publish(fleet.database, release, {}))
    assert asyncio.run(read_head(fleet.database, "stable")) == (None, None)
    assert asyncio.run(publish(fleet.database, release, blobs))
    assert not asyncio.run(publish(fleet.database, release, {}))
    assert [(r.title, is_head) for r, is_head in asyncio.run(list_releases(fleet.database)).releases] == [
        ("stable 1", True)
    ]


def test_the_numbers_of_a_channel_only_grow_and_are_unique(fleet: Fleet) -> None:
    fleet.publish(5)

    with pytest.raises(Failure, match="the channel is at 5"):
        fleet.publish(4)
    with pytest.raises(Failure, match="another release stable 5"):
        fleet.publish(5, (("base.yaml", BASE),))


def test_a_rollback_is_a_release_with_a_new_number(fleet: Fleet) -> None:
    fleet.publish(1)
    first = fleet.take()
    fleet.publish(2, (("base.yaml", BASE),))
    assert fleet.take().texts == (("base.yaml", BASE),)
    fleet.publish(3)

    assert fleet.take().texts == first.texts


def test_a_replayed_old_release_is_refused(fleet: Fleet) -> None:
    fleet.publish(1)
    old = fleet.read()
    fleet.publish(2)
    fleet.take()

    with pytest.raises(SourceError, match="older than 2") as caught:
        fleet.admit(old)
    assert caught.value.code == "ReleaseReplayed"


def test_a_release_is_incomplete_until_its_last_document_arrives(fleet: Fleet) -> None:
    release = fleet.publish(1)
    missing = f"{BLOBS}{release.documents['role=web/web.yaml']}"
    data = asyncio.run(fleet.database.get(missing))
    assert data
    asyncio.run(fleet.database.delete(missing, expect=ANY))

    with pytest.raises(SourceError, match=r"role=web/web\.yaml not found") as caught:
        fleet.read()
    assert caught.value.code == "ReleaseIncomplete"
    asyncio.run(fleet.database.put(missing, data.data, expect=None))
    assert len(fleet.take().texts) == 3


def test_documents_that_a_carrier_changes_drops_or_adds_are_noticed(fleet: Fleet) -> None:
    fleet.publish(1)
    brought = dict(fleet.read().texts)
    web = next(path for path, data in brought.items() if data == WEB)

    def admit(texts: dict[str, bytes]) -> str:
        with pytest.raises(SourceError) as caught:
            fleet.admit(Snapshot(texts=tuple(texts.items())))
        return str(caught.value.code)

    assert admit({**brought, web: WEB + b"#"}) == "ReleaseIncomplete"
    assert admit({path: data for path, data in brought.items() if path != web}) == "ReleaseIncomplete"
    assert admit({**brought, "releases/stable/head": brought["releases/stable/head"].replace(b"web", b"wep")}) == (
        "VerifyFailed"
    )
    assert admit({path: data for path, data in brought.items() if not path.endswith("head")}) == "Unsigned"
    assert fleet.admit(Snapshot(texts=())).texts == (), "the limit on removals handles an empty source"
    extra = Snapshot(texts=(*brought.items(), ("evil.yaml", b"ordain: v1\nkind: Layer\nname: evil\n")))
    assert len(fleet.admit(extra).texts) == 3


def test_bytes_stored_under_a_wrong_hash_are_refused(fleet: Fleet) -> None:
    release = fleet.publish(1)
    key = f"{BLOBS}{release.documents['role=web/web.yaml']}"
    asyncio.run(fleet.database.put(key, b"ordain: v1\nkind: Layer\nname: evil\n", expect=ANY))

    with pytest.raises(SourceError, match=r"role=web/web\.yaml is not the document that was signed") as caught:
        fleet.read()
    assert caught.value.code == "VerifyFailed"
    assert fleet.publish(2)
    assert len(fleet.take().texts) == 3, "publishing again repairs it"


def test_a_node_pins_its_machine_to_a_release(fleet: Fleet) -> None:
    fleet.publish(1)
    pinned = NODE + b"pin: 1\n"
    fleet.publish(2, (("nodes.yaml", pinned), ("web.yaml", WEB.replace(b"/bin/web", b"/bin/web2"))))

    brought = fleet.read()
    assert ("web.yaml", WEB) in fleet.admit(brought).texts
    assert read_highest(fleet.root)["stable"].number == 2
    fleet.facts = dataclasses.replace(MACHINE, hostname="web4")
    assert fleet.take().texts == ()
    fleet.facts = MACHINE
    asyncio.run(fleet.database.delete(number_key("stable", 1), expect=ANY))
    with pytest.raises(SourceError, match="there is no releases/stable/1"):
        fleet.read()
    without = Snapshot(texts=tuple((path, data) for path, data in brought.texts if path != "releases/stable/1"))
    with pytest.raises(SourceError, match="pinned to release stable 1, which was not found"):
        fleet.admit(without)


def test_a_machine_takes_the_releases_of_the_channel_in_its_label(fleet: Fleet) -> None:
    fleet.publish(1)
    fleet.publish(7, channel="canary")
    stable = fleet.read()
    fleet.facts = dataclasses.replace(MACHINE, labels={"channel": ("canary",)})

    assert [r.revision[:8] for r in (stable, fleet.read())] == ["stable-1", "canary-7"]
    assert fleet.take().texts
    with pytest.raises(SourceError, match="where a release of channel canary should be"):
        fleet.admit(stable)


@pytest.mark.parametrize(
    ("trust", "local", "taken"),
    [
        (Trust.LOCAL, True, True),
        (Trust.LOCAL, False, False),
        (Trust.OPEN, False, True),
        (Trust.REQUIRED, True, False),
    ],
)
def test_the_setting_trust_decides_on_unsigned_documents(fleet: Fleet, trust: Trust, local: bool, taken: bool) -> None:
    unsigned = Snapshot(texts=FILES, own=local)

    if taken:
        assert fleet.admit(unsigned, trust) == unsigned
    else:
        with pytest.raises(SourceError, match=f"not signed, and `trust: {trust}` requires a signature") as caught:
            fleet.admit(unsigned, trust)
        assert caught.value.code == "Unsigned"


def test_a_release_beside_its_documents_in_a_directory_is_verified(fleet: Fleet) -> None:
    release = fleet.signed(1)
    texts = (*FILES, ("release.json", release.text()))

    assert len(fleet.admit(Snapshot(texts=texts, own=True), Trust.REQUIRED).texts) == 3


def test_a_boot_server_sends_a_release_and_its_documents_as_one_text(fleet: Fleet) -> None:
    release = fleet.signed(1)
    body = b"---\n".join([release.text(), *(data for _, data in FILES)])

    taken = fleet.admit(Snapshot(texts=(("https://boot/x.yaml", body),)))

    assert [name for name, _ in taken.texts] == ["base.yaml", "nodes.yaml", "web.yaml"]
    with pytest.raises(SourceError) as caught:
        fleet.admit(Snapshot(texts=(("https://boot/x.yaml", body.replace(b"/bin/web", b"/bin/wep")),)))
    assert caught.value.code == "ReleaseIncomplete"


def test_a_bundle_keeps_every_byte_and_distinguishes_changed_from_missing_documents(fleet: Fleet) -> None:
    files = (
        ("base.yaml", b"---\n" + BASE + b"---\nordain: v1\nkind: Layer\nname: more\n--- \n"),
        ("node.json", b'{"ordain": "v1",\n\t"kind": "Node", "name": "web3"}'),
        ("last.yaml", b"%YAML 1.2\n---\r\nordain: v1\nkind: Layer\nname: last # no newline"),
    )
    release = fleet.signed(1, files)
    body = bundle([("stable 1", release.text()), *((f"common/{name}", data) for name, data in files)])

    taken = fleet.admit(Snapshot(texts=(("https://boot/x.yaml", body),)), Trust.REQUIRED)

    assert dict(taken.texts) == dict(files)
    for bad, code, what in (
        (body.replace(b"name: last", b"name: lost"), "VerifyFailed", "common/last.yaml is not the document that was"),
        (bundle([("stable 1", release.text()), ("common/last.yaml", files[2][1])]), "ReleaseIncomplete", "base.yaml"),
        (body[:-40], "ReleaseIncomplete", "not complete"),
        (body.replace(b'"number": 1', b'"number": 2'), "VerifyFailed", "does not match the content"),
    ):
        with pytest.raises(SourceError, match=what) as caught:
            fleet.admit(Snapshot(texts=(("https://boot/x.yaml", bad),)), Trust.REQUIRED)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (b"ordain: v1\nkind: Release\nname: x\n", True),
        (b"kind: 'Release' # yes\r\n", True),
        (b'{"kind":"Release"}', True),
        (b"kind: Layer\nfiles: {/x: {content: |\n  kind: Release\n}}\n", False),
        (b'{"kind":"Layer","x":{"kind":"Release"}}', False),
        (b'{"kind":"Release"', False),
        (b"[" * 100_000 + b"Release", False),
        (b'{"a":' * 100_000 + b"Release", False),
    ],
)
def test_a_manifest_is_distinguished_from_other_documents(text: bytes, is_one: bool) -> None:
    assert is_manifest(text) is is_one


def test_invalid_documents_cannot_be_released() -> None:
    with pytest.raises(Refused, match="unknown key"):
        assemble([("a.yaml", BASE + b"servces: {}\n")])
    with pytest.raises(Refused, match=r"two files are called a\.yaml"):
        assemble([("x/a.yaml", BASE), ("y/a.yaml", WEB)])
    with pytest.raises(Refused, match="two Layer documents have the name base"):
        assemble([("a.yaml", BASE), ("b.yaml", BASE + b"#")])


def test_the_head_is_moved_by_compare_and_set(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.publish(1)
    mine, theirs = fleet.signed(2), fleet.signed(2, (("base.yaml", BASE),))

    async def both() -> None:
        _, before = await read_head(fleet.database, "stable")

        async def stale(key: str) -> object:
            return before if key == head_key("stable") else await DirectoryDatabase.get(fleet.database, key)

        await publish(fleet.database, theirs, assemble(FILES).blobs)
        monkeypatch.setattr(fleet.database, "get", stale)
        await fleet.database.delete(number_key("stable", 2), expect=ANY)
        await publish(fleet.database, mine, assemble(FILES).blobs)

    with pytest.raises(Failure, match="somebody else has changed it"):
        asyncio.run(both())


async def test_a_lock_of_an_earlier_version_delays_a_publisher_and_does_not_stop_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish_lock, "RETRY_SEC", 0.01)
    database = DirectoryDatabase(tmp_path)
    await database.put("locks/releases_/0", b'{"holder": "x", "beat": 1}', expect=ANY)
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with publish_lock.hold_publish_lock(database, patience_sec=0.3) as lock:
        assert loop.time() - began >= 0.3
        (entry,) = (await database.list(lock.semaphore.prefix)).entries
        assert entry.key.startswith("releases/"), "machines cannot write there"
    await database.delete("locks/releases_/0", expect=ANY)
    began = loop.time()
    async with publish_lock.hold_publish_lock(database, patience_sec=60):
        assert loop.time() - began < 30
