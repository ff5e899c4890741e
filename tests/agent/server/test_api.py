"""The API shows machines, images and releases to those with a token; each change needs a right of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiohttp import ClientSession, web

from ordain.agent.netboot.api_tokens import Right, add_token, remove_token
from ordain.agent.netboot.images import add_image
from ordain.agent.server.api import PREFIX, BootApi
from ordain.agent.server.server import BootServer
from ordain.transforms.netboot.boot_image import BootImage, ImageFile

T = TypeVar("T")
MAC = "52:54:00:12:34:56"
NEW = "52:54:00:12:34:57"
DOCUMENTS = f"""\
ordain: v1
kind: Layer
name: base
netboot: {{image: a}}
---
ordain: v1
kind: Node
name: web1
match: {{mac: "{MAC}"}}
"""
ASKED = f"boot.ipxe?mac={MAC}&manufacturer=ACME&product=R640&channel=beta"


class Client:
    """Sends requests with a token, and returns status and JSON."""

    def __init__(self, session: ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def __call__(
        self, method: str, path: str, token: str = "", body: object = None, **headers: str
    ) -> tuple[int, Any]:
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        async with self.session.request(method, self.url + PREFIX + path, headers=headers, data=data) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str) -> tuple[int, str, dict[str, str]]:
        async with self.session.get(f"{self.url}/{path}", allow_redirects=False) as answer:
            return answer.status, await answer.text(), dict(answer.headers)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a directory with ``documents``, and ``files`` with the image a:1."""
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents/base.yaml").write_text(DOCUMENTS)
    made = tmp_path / "files/images/.new"
    made.mkdir(parents=True)
    for name in ("kernel", "initrd", "root"):
        (made / name).write_bytes(b"x")
    file = ImageFile(sha256="00" * 32, size=1)
    content = BootImage(os="debian-13", release="6.1", generation="", memory=1, kernel=file, initrd=file, root=file)
    add_image(tmp_path / "files", "a", made, content)
    return tmp_path


@pytest.fixture
def tokens(folder: Path) -> dict[str, str]:
    """Return a token for each set of rights."""
    rights = {
        "reader": {Right.READ},
        "adopter": {Right.READ, Right.ADOPT},
        "booter": {Right.READ, Right.BOOT},
        "author": {Right.READ, Right.UNITS},
    }
    return {name: add_token(folder / "tokens", name, frozenset(some)) for name, some in rights.items()}


def with_server(folder: Path, use: Callable[[Client], Awaitable[T]]) -> T:
    async def run() -> T:
        server = BootServer(
            folder / "documents", files=folder / "files", state=folder / "state", tokens=folder / "tokens"
        )
        server.load_records()
        await server.load()
        runner = web.AppRunner(server.app(), auto_decompress=False)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with ClientSession() as session:
                return await use(Client(session, f"http://127.0.0.1:{runner.addresses[0][1]}"))
        finally:
            server.end()
            await runner.cleanup()

    return asyncio.run(run())


def requests_of_the_table() -> Iterator[tuple[str, str, Right | None]]:
    api = object.__new__(BootApi)
    for method, path, right, _ in api.routes():
        yield method, path.replace("{machine}", "web1"), right


@pytest.mark.parametrize(("method", "path", "right"), [*requests_of_the_table()])
def test_a_request_needs_its_right(
    folder: Path, tokens: dict[str, str], method: str, path: str, right: Right | None
) -> None:
    async def use(client: Client) -> None:
        await client.get(ASKED)
        for name, rights in {
            "": (),
            "reader": ("read",),
            "adopter": ("read", "adopt"),
            "booter": ("read", "boot"),
            "author": ("read", "units"),
        }.items():
            status, answer = await client(method, path, tokens.get(name, ""), {} if method in ("POST", "PUT") else None)
            if right is None or right in rights:
                assert status not in (401, 403), answer
            else:
                assert status == (403 if name else 401), (name, answer)
                assert set(answer) == {"error", "document"}
        assert (await client(method, path, "wrong"))[0] == 401
        assert (await client(method, path, Authorization="Basic YTpi"))[0] == 401

    with_server(folder, use)


def test_everybody_may_read_if_the_file_says_so(folder: Path, tokens: dict[str, str]) -> None:
    add_token(folder / "tokens", "*", frozenset({Right.READ}))

    async def use(client: Client) -> None:
        assert await client("GET", "/machines") == (200, [])
        assert await client("GET", "/caller") == (200, {"name": "*", "rights": ["read"], "relay": ""})
        assert (await client("POST", "/machines/x/adopt"))[0] == 401

    with_server(folder, use)


def test_a_page_of_another_site_changes_nothing_where_everybody_may(folder: Path, tokens: dict[str, str]) -> None:
    add_token(folder / "tokens", "*", frozenset({Right.READ, Right.ADOPT}))
    path, body = f"/machines/{NEW}/adopt", {"name": "web7"}

    async def use(client: Client) -> None:
        await client.get(ASKED.replace(MAC, NEW))
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            status, answer = await client("POST", path, body=body, **{"Content-Type": kind})
            assert (status, "Content-Type: application/json" in answer["error"]) == (415, True)
        assert not (folder / "documents/web7.yaml").exists()
        assert (await client("POST", path, body=body, **{"Content-Type": "application/json"}))[0] == 200

    with_server(folder, use)


def test_a_token_that_is_removed_ends_at_once(folder: Path, tokens: dict[str, str]) -> None:
    async def use(client: Client) -> None:
        assert (await client("GET", "/machines", tokens["reader"]))[0] == 200
        remove_token(folder / "tokens", "reader")
        assert (await client("GET", "/machines", tokens["reader"]))[0] == 401
        assert (await client("GET", "/machines", tokens["booter"]))[0] == 200
        (folder / "tokens").write_text("nonsense\n")
        assert (await client("GET", "/machines", tokens["booter"]))[0] == 401

    with_server(folder, use)


def test_a_machine_has_its_boots_and_the_reasons_of_the_next_one(folder: Path, tokens: dict[str, str]) -> None:
    async def use(client: Client) -> None:
        await client.get(ASKED)
        await client.get(ASKED)
        await client.get(f"{ASKED}&again=1")
        status, story = await client("GET", "/machines/web1", tokens["reader"])
        assert status == 200
        machine = story["machine"]
        assert (machine["machine"], machine["node"], machine["state"]) == (MAC, "web1", "booting")
        assert machine["said"]["system-product-name"] == "R640"
        assert machine["channel"] == "beta"
        assert machine["image"].startswith("a:1@sha256:")
        steps = [(event["step"], event["count"]) for event in story["log"]]
        assert steps == [("asked", 2), ("asked again", 1)]
        assert story["layers"] == ["base", "web1"]
        assert "base.yaml:4" in story["next_script"]
        by_address = await client("GET", f"/machines/{MAC.replace(':', '-').upper()}", tokens["reader"])
        assert by_address == (200, story)
        assert [each["asked"] for each in (await client("GET", "/images", tokens["reader"]))[1]] == [1]
        assert await client("GET", "/releases", tokens["reader"]) == (200, [])

    with_server(folder, use)


def test_a_machine_has_its_units_with_the_place_of_each_line(folder: Path, tokens: dict[str, str]) -> None:
    (folder / "documents/web.yaml").write_text(
        "ordain: v1\nkind: Layer\nname: web\nmatch: {os: debian, hostname: web1}\n"
        "services:\n  app:\n    command: /usr/bin/app\n    user: www-data\n"
    )

    async def use(client: Client) -> tuple[int, Any, int, Any]:
        await client.get(ASKED)
        known = await client("GET", "/machines/web1/units", tokens["author"])
        other = await client("GET", "/machines/web1/units?system=rocky-9", tokens["author"])
        return *known, *other

    status, units, other_status, other = with_server(folder, use)
    assert (status, units["system"], units["layers"]) == (200, "debian-13", ["base", "web", "web1"])
    app = next(unit for unit in units["units"] if unit["unit"] == "app.service")
    assert app["wanted"] == "running"
    text = app["files"][0]["text"]
    assert "web.yaml:8 web services/app/user\nUser=www-data\n" in text
    assert (other_status, other["system"], other["units"]) == (200, "rocky-9", [])


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [("?system=beos-5", 400, "beos-5"), ("", 409, "ask with ?system=")],
)
def test_units_of_an_unknown_system_are_refused_with_the_remedy(
    folder: Path, tokens: dict[str, str], query: str, status: int, words: str
) -> None:
    (folder / "documents/base.yaml").write_text(DOCUMENTS.replace("image: a", "root: next-device"))

    async def use(client: Client) -> tuple[int, Any]:
        await client.get(ASKED)
        return await client("GET", f"/machines/{MAC}/units{query}", tokens["author"])

    found, answer = with_server(folder, use)
    assert (found, words in answer["error"]) == (status, True), answer


def test_wrong_documents_are_the_problems_of_the_next_boot(folder: Path, tokens: dict[str, str]) -> None:
    (folder / "documents/base.yaml").write_text(DOCUMENTS.replace("image: a", "image: b"))

    async def use(client: Client) -> None:
        await client.get(ASKED)
        _, story = await client("GET", "/machines/web1", tokens["reader"])
        assert story["machine"]["state"] == "waits"
        assert story["next_script"] == ""
        assert "image b: not found" in story["next_problems"][0]

    with_server(folder, use)


def test_a_discovered_machine_is_adopted_once(folder: Path, tokens: dict[str, str]) -> None:
    path = f"/machines/{NEW}/adopt"

    async def use(client: Client) -> None:
        await client.get(ASKED.replace(MAC, NEW))
        _, machines = await client("GET", "/machines", tokens["reader"])
        assert [each["state"] for each in machines] == ["discovered"]
        body = {"name": "web7", "labels": {"role": "web", "a b\nkind": "x: y"}}
        status, answer = await client("POST", path, tokens["adopter"], body)
        assert (status, (folder / "documents/web7.yaml").exists()) == (400, False), answer
        body["labels"] = {"role": 'web"\nkind: Layer'}
        status, answer = await client("POST", path, tokens["adopter"], body)
        assert (status, answer["file"]) == (200, "web7.yaml")
        written = (folder / "documents/web7.yaml").read_text()
        assert written == answer["document"]
        assert f'match: {{mac: "{NEW}"}}\nlabels:\n  role: "web\\"\\nkind: Layer"\n' in written
        status, answer = await client("POST", path, tokens["adopter"], body)
        assert status == 409
        assert "web7.yaml: the file exists" in answer["error"]
        status, answer = await client("POST", f"/machines/{MAC}/adopt", tokens["adopter"], body)
        assert status == 404

    with_server(folder, use)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "x" * 300, "a\n---\nb"])
def test_a_name_that_no_node_can_have_writes_nothing(folder: Path, tokens: dict[str, str], name: str) -> None:
    before = sorted(path.name for path in folder.rglob("*"))

    async def use(client: Client) -> None:
        await client.get(ASKED.replace(MAC, NEW))
        status, answer = await client("POST", f"/machines/{NEW}/adopt", tokens["adopter"], {"name": name})
        assert status in (400, 409), answer
        assert answer["error"]

    with_server(folder, use)
    kept = [path.name for path in folder.rglob("*") if path.parent.name != "state" and path.name != "state"]
    assert sorted(kept) == before


def test_a_server_of_releases_shows_the_node_to_add(
    folder: Path, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BootServer, "channel_heads", lambda self: ())

    async def use(client: Client) -> None:
        await client.get(ASKED.replace(MAC, NEW))
        status, answer = await client("POST", f"/machines/{NEW}/adopt", tokens["adopter"], {"name": "web7"})
        assert status == 409
        assert "next release" in answer["error"]
        assert answer["document"].startswith('ordain: v1\nkind: Node\nname: "web7"')

    with_server(folder, use)
    assert not (folder / "documents/web7.yaml").exists()


def test_the_next_boot_starts_another_image_once(folder: Path, tokens: dict[str, str]) -> None:
    async def use(client: Client) -> None:
        await client.get(ASKED)
        status, answer = await client("PUT", "/machines/web1/once", tokens["booter"], {"image": "a:7"})
        assert (status, answer["error"].startswith("image a:7: not found")) == (409, True)
        status, story = await client("PUT", "/machines/web1/once", tokens["booter"], {"image": "a:1"})
        assert status == 200
        assert story["once"].startswith("a:1@sha256:")
        status, story = await client("DELETE", "/machines/web1/once", tokens["booter"])
        assert (status, story["once"]) == (200, "")
        await client("PUT", "/machines/web1/once", tokens["booter"], {"image": "a"})
        await client.get(ASKED)
        _, story = await client("GET", "/machines/web1", tokens["reader"])
        assert story["once"] == ""
        assert story["log"][-1]["step"] == "once"

    with_server(folder, use)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[1]", 400),
        (b'{"name": 1}', 400),
        (b'{"other": "x"}', 400),
        (b'{"name": "\\ud800"}', 400),
        (b'{"name": "x", "labels": {"a": "\\ud800"}}', 400),
        (b'{"labels": {"a": 1}, "name": "x"}', 400),
        (b"[" * 10_000, 400),
        (b" " * 20_000, 413),
        (None, 400),
    ],
)
def test_a_malformed_body_is_refused(folder: Path, tokens: dict[str, str], body: bytes | None, status: int) -> None:
    async def use(client: Client) -> None:
        await client.get(ASKED.replace(MAC, NEW))
        got, answer = await client("POST", f"/machines/{NEW}/adopt", tokens["adopter"], body)
        assert (got, answer["document"]) == (status, "")

    with_server(folder, use)


def test_the_page_has_no_data_and_may_load_nothing_from_elsewhere(folder: Path, tokens: dict[str, str]) -> None:
    async def use(client: Client) -> None:
        await client.get(ASKED)
        assert (await client.get(""))[2]["Location"] == "/fleet/"
        for name, kind in {"": "text/html", "page.css": "text/css", "page.js": "text/javascript"}.items():
            status, text, headers = await client.get(f"fleet/{name}")
            assert status == 200
            assert headers["Content-Type"].startswith(kind)
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert "innerHTML" not in text
            assert "://" not in text
            assert MAC not in text

    with_server(folder, use)


def test_without_tokens_there_is_neither_page_nor_api(folder: Path) -> None:
    async def run() -> None:
        server = BootServer(folder / "documents")
        await server.load()
        runner = web.AppRunner(server.app())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with ClientSession() as session:
                client = Client(session, f"http://127.0.0.1:{runner.addresses[0][1]}")
                assert (await client.get("fleet/"))[0] == 400
                assert (await client.get("api/v1/machines"))[2]["Content-Type"].startswith("application/yaml")
        finally:
            server.end()
            await runner.cleanup()

    asyncio.run(run())
