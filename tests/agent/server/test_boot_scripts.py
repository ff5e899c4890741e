"""A machine that boots from the network gets its script and files, and never less than it had before."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import logging
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from aiohttp import ClientSession, web

from ordain.agent.netboot import machine_records
from ordain.agent.netboot.images import StoredImage, add_image
from ordain.agent.server.server import BootServer
from ordain.transforms.netboot.boot_image import BootImage, ImageFile

T = TypeVar("T")
MAC = "52-54-00-12-34-56"
DOCUMENT = (
    "ordain: v1\nkind: Layer\nname: base\nnetboot: {kernel: %s, initrds: [initrd.img], arguments: {quiet: true}}\n"
)


class Get:
    """Gets paths of a server: status, body and headers."""

    def __init__(self, session: ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def __call__(self, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        async with self._session.get(f"{self._url}/{path}", headers=headers) as answer:
            return answer.status, await answer.read(), dict(answer.headers)

    async def head(self, path: str) -> tuple[int, str]:
        """Return the status and the length of what a GET would send."""
        async with self._session.head(f"{self._url}/{path}") as answer:
            return answer.status, answer.headers["Content-Length"]

    async def post(self, path: str, **form: str) -> int:
        async with self._session.post(f"{self._url}/{path}", data=form or None) as answer:
            return answer.status


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a directory with ``documents`` and ``files``."""
    for name, data in {"documents/base.yaml": DOCUMENT % "vmlinuz", "files/vmlinuz": "kernel"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(data)
    (tmp_path / "files/initrd.img").write_bytes(os.urandom(5 << 20))
    (tmp_path / "secret").write_text("confidential")
    (tmp_path / "files/way-out").symlink_to("../secret")
    (tmp_path / "files/current").symlink_to("vmlinuz")
    return tmp_path


def with_server(folder: Path, use: Callable[[BootServer, Get], Awaitable[T]], *, files: bool = True) -> T:
    """Run ``use`` with a server of ``folder``, and a function that gets a path from it."""

    async def run() -> T:
        server = BootServer(folder / "documents", files=folder / "files" if files else None, state=folder / "state")
        server.load_records()
        await server.load()
        keeping = asyncio.create_task(server.keep_records())
        runner = web.AppRunner(server.app())
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]

        try:
            async with ClientSession() as session:
                return await use(server, Get(session, f"http://127.0.0.1:{port}"))
        finally:
            server.end()
            await runner.cleanup()
            keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeping

    return asyncio.run(run())


def test_a_machine_is_asked_for_its_facts_and_then_gets_its_script(folder: Path) -> None:
    async def use(server: BootServer, get: Get) -> tuple[str, str]:
        return (await get("boot.ipxe"))[1].decode(), (await get(f"boot.ipxe?mac={MAC}"))[1].decode()

    question, script = with_server(folder, use)

    assert "chain --replace boot.ipxe?mac=${netX/mac:hexhyp}&uuid=${uuid}" in question
    assert "kernel files/vmlinuz initrd=initrd0 quiet || goto failed\n" in script
    assert "initrd --name initrd0 files/initrd.img || goto failed\n" in script


def test_files_are_sent_whole_or_from_the_byte_that_is_asked_for(folder: Path) -> None:
    data = (folder / "files/initrd.img").read_bytes()

    async def use(server: BootServer, get: Get) -> list[tuple[int, bytes]]:
        answers = [await get("files/initrd.img"), await get("files/initrd.img", Range="bytes=4000000-")]
        answers += [await get("files/current"), await get("files/initrd.img")]
        return [(status, hashlib.sha256(body).digest()) for status, body, _ in answers]

    def digest(content: bytes) -> bytes:
        return hashlib.sha256(content).digest()

    wanted = [(200, digest(data)), (206, digest(data[4000000:])), (200, digest(b"kernel")), (200, digest(data))]
    assert with_server(folder, use) == wanted


@pytest.mark.parametrize(
    "path", ["files/nothing", "files/%2e%2e/secret", "files/way-out", "files/%2fetc/passwd", "files/", "files/a%00b"]
)
def test_nothing_outside_the_directory_is_sent(folder: Path, path: str) -> None:
    async def use(server: BootServer, get: Get) -> tuple[int, bytes, dict[str, str]]:
        return await get(path)

    _, body, _ = with_server(folder, use)

    assert b"confidential" not in body


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip;q=1.0, br"])
def test_a_file_that_is_called_like_a_compressed_one_is_not_sent_in_its_place(folder: Path, encoding: str) -> None:
    for suffix in (".gz", ".br"):
        (folder / f"files/vmlinuz{suffix}").symlink_to(folder / "secret")

    async def use(server: BootServer, get: Get) -> tuple[int, bytes, dict[str, str]]:
        return await get("files/vmlinuz", **{"Accept-Encoding": encoding})

    status, body, headers = with_server(folder, use)

    assert (status, body) == (200, (folder / "files/vmlinuz").read_bytes())
    assert "Content-Encoding" not in headers


@pytest.mark.parametrize("header", ["Accept-Language", "Origin", "Sec-Fetch-Mode"])
def test_a_page_in_a_browser_counts_no_boot(folder: Path, header: str) -> None:
    image = make_image(folder, b"first")
    (folder / "documents/base.yaml").write_text(INSTALL % (image.reference, "follow"))

    async def use(server: BootServer, get: Get) -> tuple[int, int, int]:
        status, _, _ = await get(f"boot.ipxe?mac={MAC}", **{header: "x"})
        boots = len(server.records.all())
        await get(f"boot.ipxe?mac={MAC}")
        return status, boots, len(server.records.all())

    assert with_server(folder, use) == (403, 0, 1)


def test_a_look_at_the_headers_of_a_script_counts_no_boot(folder: Path) -> None:
    async def use(server: BootServer, get: Get) -> tuple[tuple[int, str], int, int]:
        looked = await get.head(f"boot.ipxe?mac={MAC}")
        boots = len(server.records.all())
        _, script, _ = await get(f"boot.ipxe?mac={MAC}")
        return looked, boots, len(script)

    (status, length), boots, wanted = with_server(folder, use)
    assert (status, int(length), boots) == (200, wanted, 0)


def test_a_fifo_is_not_opened(folder: Path) -> None:
    os.mkfifo(folder / "files/fifo")

    async def use(server: BootServer, get: Get) -> int:
        async with asyncio.timeout(5):
            return (await get("files/fifo"))[0]

    assert with_server(folder, use) == 404


def test_a_machine_keeps_its_script_while_its_documents_are_wrong(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = "52-54-00-00-00-01"

    async def use(server: BootServer, get: Get) -> list[bytes]:
        scripts = [(await get(f"boot.ipxe?mac={MAC}"))[1]]
        (folder / "documents/base.yaml").write_text(DOCUMENT % "missing")
        await server.load()
        scripts += [(await get(f"boot.ipxe?mac={mac}"))[1] for mac in (MAC, MAC, other)]
        (folder / "files/missing").write_text("now it is there")
        scripts.append((await get(f"boot.ipxe?mac={MAC}"))[1])
        return scripts

    with caplog.at_level(logging.WARNING):
        before, kept, again, new, after = with_server(folder, use)

    assert before == kept == again
    assert b"echo Ordain: the documents of 52:54:00:00:00:01 are wrong" in new
    assert b"kernel files/missing" in after
    lines = [record.getMessage() for record in caplog.records if MAC.replace("-", ":") in record.getMessage()]
    missing = f"base.yaml:4:19: {folder}/files/missing: the file is missing or unreadable; put it there"
    assert [line.rpartition("/documents/")[2] for line in lines[:1]] == [missing]
    assert lines[1:] == ["52:54:00:12:34:56: it gets its last good script"], "each fault is logged once"


def test_an_image_is_named_by_documents_and_sent_with_its_digest(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = make_image(folder, b"first")
    text = "ordain: v1\nkind: Layer\nname: base\nnetboot: {image: '%s'}\n"
    (folder / "documents/base.yaml").write_text(text % image.reference)

    async def use(server: BootServer, get: Get) -> list[tuple[int, bytes, dict[str, str]]]:
        answers = [await get(f"boot.ipxe?mac={MAC}"), await get("files/images/debian-13/1/root")]
        answers.append(await get("files/images/debian-13/1/root", Range="bytes=2-"))
        (folder / "documents/base.yaml").write_text(text % f"debian-13@sha256:{'0' * 64}")
        await server.load()
        answers.append(await get(f"boot.ipxe?mac={MAC}", Host="evil.example"))
        answers.append(await get(f"boot.ipxe?mac={MAC}", Host="a/ || shell"))
        answers.append(await get(f"boot.ipxe?mac={MAC}"))
        return answers

    first, root, part, elsewhere, nameless, kept = with_server(folder, use)

    digest = hashlib.sha256(b"first")
    script = first[1].decode()
    assert re.search(r" boot=ordain ordain\.root=http://127\.0\.0\.1:\d+/files/images/debian-13/1/root ", script)
    assert f"ordain.root.sha256={digest.hexdigest()} ordain.root.size=5 ordain.root.memory=10 " in script
    wanted = f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert (root[1], root[2]["Repr-Digest"]) == (b"first", wanted)
    assert (part[0], part[1], part[2]["Repr-Digest"]) == (206, b"rst", wanted)
    assert kept[1] == first[1], "an image with another digest is not started"
    assert b"ordain.root=http://evil.example/files/" in elsewhere[1]
    assert b"ordain.root=${cwduri}files/" in nameless[1]
    assert f"the image on this server has the digest sha256:{image.reference.digest}" in caplog.text


def make_image(folder: Path, root: bytes) -> StoredImage:
    made = folder / "files/images/.new"
    made.mkdir(parents=True)
    files = {"kernel": b"k", "initrd": b"i", "root": root}
    for name, data in files.items():
        (made / name).write_bytes(data)
    parts = {name: ImageFile(sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for name, data in files.items()}
    content = BootImage(os="debian-13", release="6.12", generation="", memory=10, **parts)
    return add_image(folder / "files", "debian-13", made, content)[0]


def test_a_machine_without_documents_waits_and_asks_again(folder: Path) -> None:
    (folder / "documents/base.yaml").write_text("ordain: v1\nkind: Layer\nname: base\nvalues: {a: 1}\n")

    async def use(server: BootServer, get: Get) -> bytes:
        return (await get(f"boot.ipxe?mac={MAC}"))[1]

    script = with_server(folder, use).decode()

    assert "echo Ordain: no document names the image that 52:54:00:12:34:56 boots\n" in script
    assert script.endswith("chain --replace boot.ipxe\n")


def test_a_server_without_files_says_how_to_serve_them(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def use(server: BootServer, get: Get) -> tuple[int, bytes]:
        script = (await get(f"boot.ipxe?mac={MAC}"))[1]
        return (await get("files/vmlinuz"))[0], script

    status, script = with_server(folder, use, files=False)

    assert status == 404
    assert b"are wrong" in script
    assert "start it with --files DIR" in caplog.text


def test_a_machine_may_still_be_called_like_a_path_of_the_server(folder: Path) -> None:
    async def use(server: BootServer, get: Get) -> tuple[int, bytes, dict[str, str]]:
        return await get("files.yaml")

    status, body, _ = with_server(folder, use)

    assert status == 200
    assert b"kind: Layer" in body


def test_an_image_whose_boots_do_not_complete_is_rolled_back(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = make_image(folder, b"first"), make_image(folder, b"second")
    text = "ordain: v1\nkind: Layer\nname: base\nnetboot: {image: '%s'}\n"

    def write(image: StoredImage, more: str = "") -> None:
        (folder / "documents/base.yaml").write_text(text % image.reference + more)

    write(first)

    async def use(server: BootServer, get: Get) -> list[bytes]:
        async def booted(root: bytes) -> int:
            machines = f"02-00-00-00-00-01,{MAC}"
            return await post(f"booted?mac={machines}&root={hashlib.sha256(root).hexdigest()}")

        post = get.post
        scripts = [(await get(f"boot.ipxe?mac={MAC}"))[1] for _ in range(5)]
        assert len(set(scripts)) == 1, "a machine that never reports is never rolled back"
        assert await booted(b"first") == 204
        write(second)
        await server.load()
        scripts += [(await get(f"boot.ipxe?mac={MAC}&again=1"))[1] for _ in range(5)]
        scripts += [(await get(f"boot.ipxe?mac={MAC}"))[1] for _ in range(2)]
        write(second, "# a comment is not another image\n")
        await server.load()
        scripts += [(await get(f"boot.ipxe?mac={MAC}"))[1] for _ in range(3)]
        assert await booted(b"first") == 204, "it says that the boot of its last good image is good"
        scripts.append((await get(f"boot.ipxe?mac={MAC}"))[1])
        assert await booted(b"second") == 204
        scripts.append((await get(f"boot.ipxe?mac={MAC}"))[1])
        assert await post("booted?mac=02-00-00-00-00-01&root=0") == 404
        return scripts

    scripts = with_server(folder, use)

    numbers = [re.findall(rb"images/debian-13/(\d+)/kernel", script)[0].decode() for script in scripts]
    assert "".join(numbers) == "11111" + "22222" + "22" + "211" + "1" + "2"
    what = (
        f"3 boots of image {second.reference} did not complete; the machine gets its last good image {first.reference}"
    )
    assert what in caplog.text


INSTALL = """\
ordain: v1
kind: Layer
name: base
netboot: {image: '%s', root: disk, disk: {install: %s}}
---
ordain: v1
kind: Node
name: db1
match: {mac: "52:54:00:12:34:56"}
"""


def installs(script: bytes) -> str:
    """Return the number of the image that a script installs, "disk" if it leaves the boot to the disk."""
    if b"exit 1" in script:
        return "disk"
    assert b" ordain.install=" in script
    return str(re.findall(rb"images/debian-13/(\d+)/kernel", script)[0].decode())


def identity(script: bytes) -> str:
    return str(re.findall(rb" ordain\.install\.id=(\S+)", script)[0].decode())


@pytest.mark.parametrize(("policy", "after"), [("once", "disk"), ("follow", "2")])
def test_a_machine_installs_its_image_and_then_starts_from_its_disk(folder: Path, policy: str, after: str) -> None:
    first, second = make_image(folder, b"first"), make_image(folder, b"second")

    async def use(server: BootServer, get: Get) -> tuple[list[str], list[str]]:
        on_disk = []

        async def ask() -> bytes:
            on_disk.append(record().installed_image)
            return (await get(f"boot.ipxe?mac={MAC}"))[1]

        def record() -> machine_records.NetbootRecord:
            return server.records.get(MAC.replace("-", ":"))

        async def write(image: StoredImage) -> None:
            (folder / "documents/base.yaml").write_text(INSTALL % (image.reference, policy))
            await server.load()

        await write(first)
        scripts = [await ask()]
        assert await get.post("installed", mac=MAC, state="begun", text="") == 204
        scripts.append(await ask())
        assert await get.post("installed", mac=f"{MAC},", state="installed", text=identity(scripts[0])) == 204
        scripts.append(await ask())
        assert record().installed_at > 0
        await write(second)
        scripts.append(await ask())
        assert await get.post("installed", mac=MAC, state="begun", text="") == 204
        assert record().installed_at == 0
        await ask()
        return [installs(script) for script in scripts], on_disk

    reference = str(first.reference)
    assert with_server(folder, use) == (["1", "1", "disk", after], ["", "", reference, reference, ""])


def test_a_disk_whose_boots_nobody_reports_is_looked_at_again(folder: Path) -> None:
    image = make_image(folder, b"first")
    (folder / "documents/base.yaml").write_text(INSTALL % (image.reference, "once"))

    async def use(server: BootServer, get: Get) -> list[str]:
        async def ask() -> bytes:
            return (await get(f"boot.ipxe?mac={MAC}"))[1]

        scripts = [await ask()]
        installed = {"mac": MAC, "state": "installed", "text": identity(scripts[0])}
        await get.post("installed", **installed)
        scripts += [await ask() for _ in range(5)]
        await get.post("installed", **installed)
        scripts += [await ask() for _ in range(3)]
        assert await get.post(f"booted?mac={MAC}&root={hashlib.sha256(b'first').hexdigest()}") == 204
        scripts += [await ask() for _ in range(3)]
        return [installs(script) for script in scripts]

    assert with_server(folder, use) == ["1", *["disk"] * 3, "1", "1", *["disk"] * 6]


def test_a_refused_disk_is_a_problem_of_the_machine(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = make_image(folder, b"first")
    (folder / "documents/base.yaml").write_text(INSTALL % (image.reference, "once"))

    async def use(server: BootServer, get: Get) -> tuple[str, ...]:
        await get(f"boot.ipxe?mac={MAC}")
        for state, text in (
            ("refused", "/dev/sda is not empty\n2026 forged line"),
            ("gone", ""),
            ("installed", "../x"),
        ):
            await get.post("installed", mac=MAC, state=state, text=text)
        assert await get.post("installed", mac="02-00-00-00-00-01", state="begun", text="") == 404
        assert installs((await get(f"boot.ipxe?mac={MAC}"))[1]) == "1"
        record = server.records.get(MAC.replace("-", ":"))
        return (*record.problems, *(f"{event.step}" for event in record.log))

    assert with_server(folder, use) == (
        "not installed: /dev/sda is not empty?2026 forged line",
        *("asked", "not installed", "asked"),
    )
    assert "db1: not installed: /dev/sda is not empty?2026 forged line" in caplog.text


def test_an_image_can_be_started_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, _ = make_image(folder, b"first"), make_image(folder, b"second")
    (folder / "documents/base.yaml").write_text(DOCUMENT % "vmlinuz")

    async def use(server: BootServer, get: Get) -> list[str]:
        scripts = []
        for once in (str(first.reference), "", "debian-13", "debian-13:9", ""):
            if once:
                machine_records.once_path(folder / "state", MAC).write_text(f"{once}\n")
            scripts.append((await get(f"boot.ipxe?mac={MAC}"))[1].decode())
        return scripts

    scripts = with_server(folder, use)

    kernels = [re.findall(r"^kernel files/(\S+)", script, re.MULTILINE)[0] for script in scripts]
    assert kernels == ["images/debian-13/1/kernel", "vmlinuz", "images/debian-13/2/kernel", "vmlinuz", "vmlinuz"]
    assert "# " in scripts[0]
    assert "from ordainctl fleet boot --once" in scripts[0]
    assert "it cannot start debian-13:9 once: image debian-13:9: not found" in caplog.text


NODE = "---\nordain: v1\nkind: Node\nname: web3\nmatch: {mac: '52:54:00:12:34:56'}\n"


def test_invented_machines_do_not_push_out_the_script_of_a_known_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_records, "MAX_DISCOVERED", 2)
    (folder / "documents/base.yaml").write_text(DOCUMENT % "vmlinuz" + NODE)

    async def use(server: BootServer, get: Get) -> tuple[bytes, bytes]:
        first = (await get(f"boot.ipxe?mac={MAC}"))[1]
        (folder / "documents/base.yaml").write_text(DOCUMENT % "missing" + NODE)
        await server.load()
        for number in range(5):
            await get(f"boot.ipxe?mac=52-54-00-00-00-0{number}")
        return first, (await get(f"boot.ipxe?mac={MAC}"))[1]

    first, kept = with_server(folder, use)

    assert b"kernel files/vmlinuz" in first
    assert kept == first


def test_the_last_good_script_outlasts_a_restart_of_the_server(folder: Path) -> None:
    (folder / "documents/base.yaml").write_text(DOCUMENT % "vmlinuz" + NODE)

    async def use(server: BootServer, get: Get) -> bytes:
        return (await get(f"boot.ipxe?mac={MAC}&manufacturer=Dell%20Inc."))[1]

    first = with_server(folder, use)
    (folder / "documents/base.yaml").write_text(DOCUMENT % "missing" + NODE)
    again = with_server(folder, use)

    assert b"kernel files/vmlinuz" in first
    assert again == first
    (record,) = machine_records.read_records(folder / "state")
    assert (record.machine, record.node) == ("52:54:00:12:34:56", "web3")
    assert record.said["system-manufacturer"] == "Dell Inc."
    assert "the file is missing" in record.problems[0]
