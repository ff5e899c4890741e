"""`ordainctl serve` over a directory with releases: from a key to what a machine takes."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from ordain.agent.cli.main import main
from ordain.agent.delivery.protocol import Snapshot, SourceError
from ordain.agent.delivery.release import signing
from ordain.agent.delivery.release.admission import Admission
from ordain.agent.delivery.source.http_source import CHANNEL, HttpSource, MachineIdentity
from ordain.agent.server.release_offers import OfferedReleases, offer_releases
from ordain.agent.settings import Trust
from ordain.agent.source_settings import SourceKind, SourceSettings
from ordain.transforms.errors import Refused
from ordain.transforms.model import Facts
from rig.boot_server import served

ID = "0123456789abcdef" * 2
BASE = b"---\n# for all\nordain: v1\nkind: Layer\nname: base\n---\nordain: v1\nkind: Layer\nname: more\n"
WEB = b"ordain: v1\nkind: Layer\nname: web\nmatch: {role: web}\nservices: {web: {command: /bin/web}} # no newline"
NODES = {
    "web3": b"ordain: v1\nkind: Node\nname: web3\nlabels: {role: web}\n",
    "web4": b'{"ordain": "v1",\n\t"kind": "Node", "name": "web4"}\n',
    "by-id": f"ordain: v1\nkind: Node\nname: by-id\nmatch: {{machine-id: {'f' * 32}}}\n".encode(),
}


class Desk:
    """A directory that is served, an operator at it, and a machine that trusts the key."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shelf = path / "shelf"
        self.shelf.mkdir()
        self.root = path / "machine"
        self.labels: dict[str, tuple[str, ...]] = {}
        self.url = ""
        (self.shelf / "base.yaml").write_bytes(BASE)
        (self.shelf / "web.yaml").write_bytes(WEB)
        for name, text in NODES.items():
            (self.shelf / f"{name}.yaml").write_bytes(text)
        self.do("release keygen", str(path / "ops"))
        (self.root / "etc/ordain/trust").mkdir(parents=True)
        (self.root / "etc/ordain/trust/ops.pub").write_bytes((path / "ops.pub").read_bytes())

    def do(self, words: str, *more: str) -> None:
        assert main([*words.split(), *more], root=self.root) == 0

    def release(self, channel: str = "stable", *more: str, key: bool = True) -> Path:
        """Release the documents as they are: the first has the number 1, and what follows takes its place."""
        file = self.shelf / f"{channel}.json"
        options = (
            *(() if file.exists() else ("--number", "1")),
            *(("--key", str(self.path / "ops.key")) if key else ()),
        )
        words = ("--channel", channel, "--output", str(file))
        self.do("release create", str(self.shelf), *words, *options, *more)
        return file

    @property
    def facts(self) -> Facts:
        return Facts(id="debian", version="13", systemd=257, hostname="web3", machine_id=ID, labels=self.labels)

    def source(self, url: str) -> HttpSource:
        settings = SourceSettings(
            type=SourceKind.HTTP, endpoints=(f"{url}/{{machine-id}}.yaml",), interval_usec=1_000_000
        )
        return HttpSource(settings, lambda: MachineIdentity.of(self.facts))

    async def read(self, url: str) -> Snapshot:
        source = self.source(url)
        try:
            return await source.read()
        finally:
            await source.close()

    def admit(self, snapshot: Snapshot, trust: Trust = Trust.REQUIRED) -> tuple[str, dict[str, bytes]]:
        """The release that the machine takes, and its documents."""
        door = Admission(root=self.root, trust=trust, check=signing.valid_signers)
        taken, release = door.admit(snapshot, self.facts, {})
        assert release is not None
        return release.title, dict(taken.texts)

    async def taken(self, url: str) -> tuple[str, dict[str, bytes]]:
        return self.admit(await self.read(url))

    async def code(self, url: str) -> str:
        with pytest.raises(SourceError) as caught:
            await self.taken(url)
        return caught.value.code

    def put(self, name: str, data: bytes) -> None:
        (self.shelf / f".{name}").write_bytes(data)
        (self.shelf / f".{name}").rename(self.shelf / name)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_machine_that_takes_only_what_is_signed_takes_a_served_release_byte_for_byte(desk: Desk) -> None:
    desk.release()

    async def check() -> None:
        async with served(desk.shelf) as (_, url):
            brought = await desk.read(url)
            title, texts = desk.admit(brought)
            assert title == "stable 1"
            assert texts == {"base.yaml": BASE, "web.yaml": WEB, "web3.yaml": NODES["web3"]}
            assert b"web4" not in brought.texts[0][1].partition(b"--- # ")[2].partition(b"}\n--- # ")[2], "not its own"

    asyncio.run(check())


def test_a_new_release_is_heard_of_at_once_and_only_once_it_is_whole(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.release()

    async def check() -> None:
        told = asyncio.Event()

        def hear(record: logging.LogRecord) -> bool:
            if record.levelno == logging.ERROR:
                told.set()
            return True

        caplog.handler.addFilter(hear)
        async with served(desk.shelf) as (_, url):
            source = desk.source(url)
            assert desk.admit(await source.read())[0] == "stable 1"
            changes = source.changes()
            await anext(changes)
            waiting = asyncio.ensure_future(anext(changes))
            desk.put("web.yaml", WEB + b"\n# the draft of 2\n")
            await told.wait()
            assert "release stable 1 is not complete: role=web/web.yaml" in caplog.text
            assert (await desk.taken(url))[1]["web.yaml"] == WEB, "what was whole stays"
            assert not waiting.done()
            desk.release()
            await waiting
            title, texts = desk.admit(await source.read())
            assert (title, texts["web.yaml"]) == ("stable 2", WEB + b"\n# the draft of 2\n")
            await source.close()

    asyncio.run(check())


def test_every_machine_gets_its_own_channel(desk: Desk) -> None:
    desk.release()
    desk.release("canary")
    desk.release("canary")

    async def check() -> None:
        async with served(desk.shelf) as (session, url):
            assert (await desk.taken(url))[0] == "stable 1"
            desk.labels = {"channel": ("canary",)}
            assert (await desk.taken(url))[0] == "canary 2"
            desk.labels = {"channel": ("edge",)}
            assert await desk.code(url) == "SourceEmpty"
            async with session.get(f"{url}/web3") as answer:
                assert b'"number": 1' in await answer.read(), "who knows of no channels is of the usual one"
                assert CHANNEL in answer.headers["Vary"]
            async with session.get(f"{url}/web3?channel=canary") as answer:
                assert b'"number": 2' in await answer.read()
            async with session.get(f"{url}/web3", headers={CHANNEL: "edge"}) as answer:
                assert "channel edge" in await answer.text()

    asyncio.run(check())


def test_what_was_changed_replayed_or_never_signed_is_not_taken(desk: Desk, tmp_path: Path) -> None:
    first = desk.release().read_bytes()
    second = desk.release().read_bytes()

    async def check() -> None:
        async with served(desk.shelf) as (_, url):
            brought = await desk.read(url)
            ((path, body),) = brought.texts
            with pytest.raises(SourceError, match=r"role=web/web\.yaml is not the document that was") as caught:
                desk.admit(Snapshot(texts=((path, body.replace(b"/bin/web", b"/bin/bad")),)))
            assert caught.value.code == "VerifyFailed"
            assert desk.admit(brought)[0] == "stable 2"
        (desk.shelf / "stable.json").write_bytes(first)
        async with served(desk.shelf) as (_, url):
            assert await desk.code(url) == "ReleaseReplayed"
        (desk.shelf / "stable.json").write_bytes(second.replace(b'"number": 2', b'"number": 3'))
        async with served(desk.shelf) as (_, url):
            assert await desk.code(url) == "VerifyFailed"
        (desk.shelf / "stable.json").unlink()
        async with served(desk.shelf) as (_, url):
            assert await desk.code(url) == "Unsigned"

    asyncio.run(check())


def test_a_pin_is_followed_as_far_as_the_pinned_release_is_there(desk: Desk) -> None:
    old = desk.release()
    old.rename(desk.shelf / "old.json")
    desk.put("web3.yaml", NODES["web3"] + b"pin: 1\n")
    desk.release("stable", "--number", "2")

    async def check() -> None:
        async with served(desk.shelf) as (_, url):
            with pytest.raises(SourceError, match="pinned to release stable 1, which was not found") as caught:
                await desk.taken(url)
            assert caught.value.code == "ReleaseIncomplete", "its own documents have gone"
            desk.put("was-web3.yaml", NODES["web3"])
            while True:
                try:
                    title, texts = await desk.taken(url)
                except SourceError:
                    continue
                break
            assert (title, texts["web3.yaml"]) == ("stable 1", NODES["web3"])

    asyncio.run(check())


def texts_of(desk: Desk) -> list[tuple[str, bytes]]:
    return [(path.name, path.read_bytes()) for path in sorted(desk.shelf.iterdir())]


def test_a_channel_never_goes_back_while_the_server_runs(desk: Desk) -> None:
    desk.release()
    first = texts_of(desk)
    desk.put("base.yaml", BASE + b"# 2\n")
    desk.release()
    second, problems = offer_releases(texts_of(desk), OfferedReleases())
    assert (second.heads, problems) == ({"stable": 2}, ())

    for texts in (first, [], [("stable.json", b'{"kind": "Rel')]):
        after, problems = offer_releases(texts, second)
        assert after.heads == {"stable": 2}
        assert after.for_machine(MachineIdentity(machine_id=ID, hostname="")) == second.for_machine(
            MachineIdentity(machine_id=ID, hostname="")
        )
        assert ["not there any more" in problem.what for problem in problems] == [True]


def test_what_cannot_be_handed_out_is_said(desk: Desk) -> None:
    desk.release("stable", "--stages", "1%,100%")
    none, (problem,) = offer_releases(texts_of(desk), OfferedReleases())
    assert (none.heads, problem.what) == (
        {},
        "release stable 1 asks machines to take turns, and a boot server has none to give",
    )

    desk.release("stable", key=False)
    bare, (problem,) = offer_releases(texts_of(desk), OfferedReleases())
    assert bare.heads == {"stable": 2}
    assert "is not signed" in problem.what

    rival = (desk.shelf / "stable.json").read_bytes().replace(b'"created": "', b'"created": "x')
    _, (problem,) = offer_releases([*texts_of(desk), ("too.json", rival)], OfferedReleases())
    assert problem.what == "there is another release stable 2, in stable.json"


def test_a_server_without_anything_whole_does_not_start(desk: Desk) -> None:
    desk.release()
    (desk.shelf / "base.yaml").unlink()

    async def check() -> None:
        async with served(desk.shelf):
            pass

    with pytest.raises(Refused, match=r"release stable 1 is not complete: common/base\.yaml not found"):
        asyncio.run(check())


def test_a_machine_that_nobody_knows_gets_all_that_could_be_for_it(desk: Desk) -> None:
    desk.release()
    offers, _ = offer_releases(texts_of(desk), OfferedReleases())

    unknown = offers.for_machine(MachineIdentity(machine_id="", hostname=""))
    assert all(text.strip(b"\n") in unknown for text in (BASE, WEB, *NODES.values()))
    other = offers.for_machine(MachineIdentity(machine_id="f" * 32, hostname="web4"))
    assert NODES["by-id"] in other
    assert NODES["web4"] in other
    assert NODES["web3"] not in other
