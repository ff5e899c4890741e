"""`ordainctl serve` for a directory with releases: from a key to the documents that a machine accepts."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import pytest
from aiohttp import ClientSession

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
from rig.stores.boot_server import running_boot_server

ID = "0123456789abcdef" * 2
BASE = b"---\n# for all\nordain: v1\nkind: Layer\nname: base\n---\nordain: v1\nkind: Layer\nname: more\n"
WEB = b"ordain: v1\nkind: Layer\nname: web\nmatch: {role: web}\nservices: {web: {command: /bin/web}} # no newline"
NODES = {
    "web3": b"ordain: v1\nkind: Node\nname: web3\nlabels: {role: web}\n",
    "web4": b'{"ordain": "v1",\n\t"kind": "Node", "name": "web4"}\n',
    "by-id": f"ordain: v1\nkind: Node\nname: by-id\nmatch: {{machine-id: {'f' * 32}}}\n".encode(),
}


class Site:
    """A served directory, an operator of it, and a machine that trusts the operator's key."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path / "served"
        self.folder.mkdir()
        self.root = path / "machine"
        self.labels: dict[str, tuple[str, ...]] = {}
        self.url = ""
        (self.folder / "base.yaml").write_bytes(BASE)
        (self.folder / "web.yaml").write_bytes(WEB)
        for name, text in NODES.items():
            (self.folder / f"{name}.yaml").write_bytes(text)
        self.ordainctl("release keygen", str(path / "ops"))
        (self.root / "etc/ordain/trust").mkdir(parents=True)
        (self.root / "etc/ordain/trust/ops.pub").write_bytes((path / "ops.pub").read_bytes())

    def ordainctl(self, words: str, *more: str) -> None:
        assert main([*words.split(), *more], root=self.root) == 0

    def release(self, channel: str = "stable", *more: str, key: bool = True) -> Path:
        """Make a release of the current documents: number 1 first, and then the next number, in the same file."""
        file = self.folder / f"{channel}.json"
        options = (
            *(() if file.exists() else ("--number", "1")),
            *(("--key", str(self.path / "ops.key")) if key else ()),
        )
        words = ("--channel", channel, "--output", str(file))
        self.ordainctl("release create", str(self.folder), *words, *options, *more)
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
        """Return the title of the release that the machine accepts, and its documents."""
        admission = Admission(root=self.root, trust=trust, check=signing.valid_signers)
        admitted, release = admission.admit(snapshot, self.facts, {})
        assert release is not None
        return release.title, dict(admitted.texts)

    async def accepted(self, url: str) -> tuple[str, dict[str, bytes]]:
        return self.admit(await self.read(url))

    async def error_code(self, url: str) -> str:
        with pytest.raises(SourceError) as caught:
            await self.accepted(url)
        return caught.value.code

    def put(self, name: str, data: bytes) -> None:
        (self.folder / f".{name}").write_bytes(data)
        (self.folder / f".{name}").rename(self.folder / name)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def test_a_machine_that_requires_signatures_gets_a_served_release_byte_for_byte(site: Site) -> None:
    site.release()

    async with running_boot_server(site.folder) as (_, url):
        brought = await site.read(url)
        title, texts = site.admit(brought)
        assert title == "stable 1"
        assert texts == {"base.yaml": BASE, "web.yaml": WEB, "web3.yaml": NODES["web3"]}
        assert b"web4" not in brought.texts[0][1].partition(b"--- # ")[2].partition(b"}\n--- # ")[2], (
            "a document of another machine"
        )


async def test_a_new_release_is_announced_at_once_when_it_is_complete(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.release()

    logged = asyncio.Event()

    def note(record: logging.LogRecord) -> bool:
        if record.levelno == logging.ERROR:
            logged.set()
        return True

    caplog.handler.addFilter(note)
    async with running_boot_server(site.folder) as (_, url):
        source = site.source(url)
        assert site.admit(await source.read())[0] == "stable 1"
        changes = source.changes()
        await anext(changes)
        waiting = asyncio.ensure_future(anext(changes))
        site.put("web.yaml", WEB + b"\n# the draft of 2\n")
        await logged.wait()
        assert "release stable 1 is not complete: role=web/web.yaml" in caplog.text
        assert (await site.accepted(url))[1]["web.yaml"] == WEB, "the last complete release stays"
        assert not waiting.done()
        site.release()
        await waiting
        title, texts = site.admit(await source.read())
        assert (title, texts["web.yaml"]) == ("stable 2", WEB + b"\n# the draft of 2\n")
        await source.close()


async def test_every_machine_gets_the_release_of_its_channel(site: Site) -> None:
    site.release()
    site.release("canary")
    site.release("canary")

    async with running_boot_server(site.folder) as (session, url):
        assert (await site.accepted(url))[0] == "stable 1"
        site.labels = {"channel": ("canary",)}
        assert (await site.accepted(url))[0] == "canary 2"
        site.labels = {"channel": ("edge",)}
        assert await site.error_code(url) == "SourceEmpty"
        async with session.get(f"{url}/web3") as answer:
            assert b'"number": 1' in await answer.read(), "a client without a channel gets the default one"
            assert CHANNEL in answer.headers["Vary"]
        async with session.get(f"{url}/web3?channel=canary") as answer:
            assert b'"number": 2' in await answer.read()
        async with session.get(f"{url}/web3", headers={CHANNEL: "edge"}) as answer:
            assert "there is no release of channel edge" in await answer.text()


async def test_a_changed_replayed_or_unsigned_release_is_refused(site: Site, tmp_path: Path) -> None:
    first = site.release().read_bytes()
    second = site.release().read_bytes()

    async with running_boot_server(site.folder) as (_, url):
        brought = await site.read(url)
        ((path, body),) = brought.texts
        with pytest.raises(SourceError, match=r"role=web/web\.yaml is not the document that was") as caught:
            site.admit(Snapshot(texts=((path, body.replace(b"/bin/web", b"/bin/bad")),)))
        assert caught.value.code == "VerifyFailed"
        assert site.admit(brought)[0] == "stable 2"
    (site.folder / "stable.json").write_bytes(first)
    async with running_boot_server(site.folder) as (_, url):
        assert await site.error_code(url) == "ReleaseReplayed"
    (site.folder / "stable.json").write_bytes(second.replace(b'"number": 2', b'"number": 3'))
    async with running_boot_server(site.folder) as (_, url):
        assert await site.error_code(url) == "VerifyFailed"
    (site.folder / "stable.json").unlink()
    async with running_boot_server(site.folder) as (_, url):
        assert await site.error_code(url) == "Unsigned"


async def test_a_pinned_release_is_served_when_it_is_complete(site: Site) -> None:
    old = site.release()
    old.rename(site.folder / "old.json")
    site.put("web3.yaml", NODES["web3"] + b"pin: 1\n")
    site.release("stable", "--number", "2")

    async with running_boot_server(site.folder) as (_, url):
        with pytest.raises(SourceError, match="pinned to release stable 1, which was not found") as caught:
            await site.accepted(url)
        assert caught.value.code == "ReleaseIncomplete", "its documents are missing"
        site.put("was-web3.yaml", NODES["web3"])
        while True:
            try:
                title, texts = await site.accepted(url)
            except SourceError:
                continue
            break
        assert (title, texts["web3.yaml"]) == ("stable 1", NODES["web3"])


def texts_of(site: Site) -> list[tuple[str, bytes]]:
    return [(path.name, path.read_bytes()) for path in sorted(site.folder.iterdir())]


def test_the_number_of_a_channel_does_not_fall_while_the_server_runs(site: Site) -> None:
    site.release()
    first = texts_of(site)
    site.put("base.yaml", BASE + b"# 2\n")
    site.release()
    second, problems = offer_releases(texts_of(site), OfferedReleases())
    assert (second.heads, problems) == ({"stable": 2}, ())

    for texts in (first, [], [("stable.json", b'{"kind": "Rel')]):
        after, problems = offer_releases(texts, second)
        assert after.heads == {"stable": 2}
        assert after.for_machine(MachineIdentity(machine_id=ID, hostname="")) == second.for_machine(
            MachineIdentity(machine_id=ID, hostname="")
        )
        assert ["is still offered" in problem.what for problem in problems] == [True]


def test_releases_that_cannot_be_offered_are_reported(site: Site) -> None:
    site.release("stable", "--stages", "1%,100%")
    none, (problem,) = offer_releases(texts_of(site), OfferedReleases())
    assert (none.heads, problem.what) == (
        {},
        "release stable 1 has a rollout, which a boot server does not support",
    )

    site.release("stable", key=False)
    bare, (problem,) = offer_releases(texts_of(site), OfferedReleases())
    assert bare.heads == {"stable": 2}
    assert "is not signed" in problem.what

    rival = (site.folder / "stable.json").read_bytes().replace(b'"created": "', b'"created": "x')
    _, (problem,) = offer_releases([*texts_of(site), ("too.json", rival)], OfferedReleases())
    assert problem.what == "there is another release stable 2, in stable.json"


def test_a_server_without_a_complete_release_does_not_start(site: Site) -> None:
    site.release()
    (site.folder / "base.yaml").unlink()

    async def check() -> None:
        async with running_boot_server(site.folder):
            pass

    with pytest.raises(Refused, match=r"release stable 1 is not complete: common/base\.yaml not found"):
        asyncio.run(check())


def test_an_unknown_machine_gets_all_documents_that_could_match_it(site: Site) -> None:
    site.release()
    offers, _ = offer_releases(texts_of(site), OfferedReleases())

    unknown = offers.for_machine(MachineIdentity(machine_id="", hostname=""))
    assert all(text.strip(b"\n") in unknown for text in (BASE, WEB, *NODES.values()))
    other = offers.for_machine(MachineIdentity(machine_id="f" * 32, hostname="web4"))
    assert NODES["by-id"] in other
    assert NODES["web4"] in other
    assert NODES["web3"] not in other


async def test_a_machine_boots_what_the_release_of_its_channel_or_its_pin_says(site: Site) -> None:
    def write(number: int, pin: str = "") -> None:
        netboot = f"netboot: {{kernel: 'http://mirror.example/{number}'}}\n"
        site.put(f"boot{number}.yaml", f"ordain: v1\nkind: Layer\nname: boot\n{netboot}".encode())
        node = "ordain: v1\nkind: Node\nname: db1\nmatch: {mac: '52:54:00:00:00:01'}\n"
        site.put(f"db{number}.yaml", f"{node}{pin}".encode())

    async def kernel(query: str) -> str:
        async with ClientSession() as session, session.get(f"{origin}/boot.ipxe?{query}") as answer:
            lines = (await answer.text()).splitlines()
        return next(line.split()[1] for line in lines if line.startswith(("kernel", "chain")))

    write(1)
    site.release().rename(site.folder / "old.json")
    for name in ("boot1.yaml", "db1.yaml"):
        (site.folder / name).rename(site.path / name)
    write(2, "pin: 1\n")
    site.release("stable", "--number", "2")
    for name in ("boot2.yaml", "db2.yaml"):
        (site.folder / name).rename(site.path / name)
    write(3)
    site.release("beta")
    for name in ("boot1.yaml", "db1.yaml", "boot2.yaml", "db2.yaml"):
        (site.path / name).rename(site.folder / name)

    async with running_boot_server(site.folder) as (_, url):
        origin = url.rpartition("/")[0] if url.count("/") > 2 else url
        assert await kernel("mac=52-54-00-00-00-02") == "http://mirror.example/2"
        assert await kernel("mac=52-54-00-00-00-01") == "http://mirror.example/1"
        assert await kernel("mac=52-54-00-00-00-02&channel=beta") == "http://mirror.example/3"
        async with ClientSession() as session, session.get(f"{origin}/boot.ipxe?channel=beta") as answer:
            assert "chain --replace boot.ipxe?channel=beta&mac=${netX/mac:hexhyp}" in await answer.text()


async def test_a_file_with_the_layers_and_the_nodes_of_several_machines_counts_once_for_boots(site: Site) -> None:
    layer = "ordain: v1\nkind: Layer\nname: ram\nmatch: {role: ram}\nnetboot: {kernel: 'http://mirror.example/ram'}\n"
    node = "---\nordain: v1\nkind: Node\nname: ram%d\nmatch: {mac: '52:54:00:00:00:0%d'}\nlabels: {role: ram}\n"
    site.put("boot.yaml", (layer + node % (1, 1) + node % (2, 2)).encode())
    site.release()
    scopes = {name.partition("/")[0] for name in json.loads((site.folder / "stable.json").read_text())["documents"]}
    assert {"mac=52:54:00:00:00:01", "mac=52:54:00:00:00:02", "role=ram"} <= scopes

    path = "boot.ipxe?mac=52-54-00-00-00-02"
    async with running_boot_server(site.folder) as (session, url), session.get(f"{url}/{path}") as answer:
        assert "http://mirror.example/ram" in await answer.text()
