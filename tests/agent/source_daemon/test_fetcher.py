"""The fetcher and the HTTP source against a boot server that misbehaves on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web

from ordain.agent.delivery.backoff import Backoff
from ordain.agent.delivery.protocol import Snapshot, Source, SourceError, SourceFault, SourceHealth, ignore
from ordain.agent.delivery.source.handover_file import Handover, decode, encode
from ordain.agent.delivery.source.http_source import MACHINE, REFUSED, HttpSource, MachineIdentity
from ordain.agent.source_daemon import fetcher as fetcher_module
from ordain.agent.source_daemon.fetcher import Fetcher
from ordain.agent.source_settings import SourceKind, SourceSettings

ME = MachineIdentity(machine_id="0" * 32, hostname="web 1", mac=("52:54:00:00:00:01",))
GOOD = b"ordain: v1\nkind: Layer\nname: base\n"


class ScriptedServer:
    """A boot server that answers with ``answer`` and records the requests in ``seen``."""

    def __init__(self) -> None:
        self.answer: Callable[[web.Request], web.Response] = lambda _: web.Response(body=GOOD)
        self.seen: list[web.Request] = []
        self.asked = asyncio.Event()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        self.asked.set()
        return self.answer(request)


class FetcherRig:
    """A fetcher that follows that server, and the file that it hands over."""

    def __init__(self, tmp_path: Path, boot: ScriptedServer, url: str) -> None:
        self.boot = boot
        self.folder, self.state = tmp_path / "run", tmp_path / "state"
        self.settings = SourceSettings(type=SourceKind.HTTP, endpoints=(url,), interval_usec=1_000)
        self.fetcher = self.make()

    def open(self) -> Source:
        return HttpSource(self.settings, lambda: ME)

    def make(self) -> Fetcher:
        backoff = Backoff(uniform=lambda low, high: 0.01)
        return Fetcher(self.open, self.settings, folder=self.folder, state=self.state, backoff=backoff)

    def handover(self) -> Handover:
        return decode((self.folder / "handover").read_bytes())

    async def wait_for_code(self, code: str) -> Handover:
        """Wait until the health of the source is ``code`` ("" for connected), and return the handover."""

        def has_code() -> bool:
            with contextlib.suppress(FileNotFoundError):
                health = self.handover().health
                return health is not None and health.code == code and health.connected is (code == "")
            return False

        await self.until(has_code)
        return self.handover()

    async def until(self, probe: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not probe():  # noqa: ASYNC110 - a file is polled
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def rig(tmp_path: Path, path: str = "/{machine-id}.yaml") -> AsyncIterator[FetcherRig]:
    boot = ScriptedServer()
    app = web.Application()
    app.router.add_get("/{path:.*}", boot.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    (tmp_path / "run").mkdir(exist_ok=True)
    (tmp_path / "state").mkdir(exist_ok=True)
    made = FetcherRig(tmp_path, boot, f"http://127.0.0.1:{runner.addresses[0][1]}{path}")
    running = asyncio.create_task(made.fetcher.run())
    try:
        yield made
    finally:
        running.cancel()
        await asyncio.wait([running])
        await runner.cleanup()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ordain.agent.delivery.source.http_source.MIN_PAUSE_SEC", 0.02)


def respond(status: int = 200, text: str = "", **headers: str) -> Callable[[web.Request], web.Response]:
    return lambda _: web.Response(
        status=status, text=text, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


async def test_newer_documents_that_the_server_refuses_are_a_fault_until_it_serves_them(tmp_path: Path) -> None:
    async with rig(tmp_path) as running:
        await running.wait_for_code("")
        running.boot.answer = respond(200, GOOD.decode(), **{REFUSED: "web.yaml:3 [Schema]"})
        await running.until(lambda: (health := running.handover().health) is not None and health.code != "")
        refused = running.handover()
        assert refused.health is not None
        assert refused.health.connected
        assert refused.health.code == SourceFault.SERVER_REFUSES
        assert "web.yaml:3 [Schema]" in refused.health.what
        assert [data for _, data in refused.snapshot.texts] == [GOOD]
        running.boot.answer = respond(200, GOOD.decode())
        await running.wait_for_code("")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (respond(401), SourceFault.UNAUTHORIZED),
        (respond(403), SourceFault.FORBIDDEN),
        (respond(404), SourceFault.EMPTY),
        (respond(429), SourceFault.THROTTLED),
        (respond(500), SourceFault.UNREACHABLE),
        (respond(302, Location="http://127.0.0.1/login"), SourceFault.REDIRECTED),
        (respond(200, "<html>Please log in</html>"), SourceFault.NOT_DOCUMENTS),
        (lambda _: web.Response(text="ordain: v1", content_type="text/html"), SourceFault.NOT_DOCUMENTS),
        (respond(200, "name: web\n"), SourceFault.NOT_DOCUMENTS),
        (respond(200, "ordain: v1\n---\n- no map\n"), SourceFault.NOT_DOCUMENTS),
        (respond(200, "ordain: v1\nkind: [\n"), SourceFault.NOT_DOCUMENTS),
        (lambda _: web.Response(body=b"ordain: v1\n\xff"), SourceFault.NOT_DOCUMENTS),
        (respond(200, "# nothing\n"), SourceFault.EMPTY),
        (respond(200, ""), SourceFault.EMPTY),
        (respond(204), SourceFault.EMPTY),
        (respond(200, GOOD.decode(), **{MACHINE: "f" * 32}), SourceFault.WRONG_MACHINE),
        (lambda _: web.Response(body=b"#" * (4 << 20) + GOOD), SourceFault.TOO_LARGE),
    ],
)
async def test_the_last_good_documents_stay_whatever_the_server_answers(
    tmp_path: Path, answer: Callable[[web.Request], web.Response], code: SourceFault
) -> None:
    async with rig(tmp_path) as made:
        good = (await made.wait_for_code("")).snapshot
        made.boot.answer = answer
        bad = await made.wait_for_code(code)
        made.boot.answer = respond(200, GOOD.decode())
        again = await made.wait_for_code("")

    assert bad.snapshot == good == again.snapshot
    assert good.texts == ((made.settings.endpoints[0], GOOD),), "the path is the same on every machine"


async def test_an_answer_that_ends_in_the_middle_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    """The rest of the documents would be missing, and so their services would be removed."""

    class Broken(web.Response):
        async def write_eof(self, data: bytes = b"") -> None:
            transport = self._req.transport if self._req else None
            await super().write_eof(data)
            assert transport
            transport.close()

    async with rig(tmp_path) as made:
        good = (await made.wait_for_code("")).snapshot
        made.boot.answer = lambda _: Broken(body=GOOD, headers={"Content-Length": str(len(GOOD) + 10)})
        await made.until(lambda: not getattr(made.handover().health, "connected", True))
        assert made.handover().snapshot == good


async def test_a_change_is_handed_over_and_kept_for_the_next_start(tmp_path: Path) -> None:
    other = GOOD + b"weight: 1\n"
    async with rig(tmp_path) as made:
        await made.wait_for_code("")
        made.boot.answer = lambda _: web.Response(body=other)
        await made.until(lambda: made.handover().snapshot.texts[0][1] == other)
    (made.folder / "handover").unlink()
    later = made.make()
    lost = asyncio.create_task(later.run())
    found = await made.wait_for_code(SourceFault.UNREACHABLE)
    lost.cancel()
    await asyncio.wait([lost])
    assert found.snapshot.texts[0][1] == other


async def test_an_internal_error_is_reported_and_changes_no_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path) as made:
        good = (await made.wait_for_code("")).snapshot
        monkeypatch.setattr("ordain.agent.delivery.source.http_source.require_success", lambda _: 1 / 0)
        assert (await made.wait_for_code(SourceFault.INTERNAL)).snapshot == good


async def test_a_cache_of_another_source_is_not_handed_over(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        await made.wait_for_code("")
    async with rig(tmp_path) as other:
        other.boot.answer = respond(404)
        assert (await other.wait_for_code(SourceFault.EMPTY)).snapshot.texts == ()


async def test_unchanged_documents_are_not_handed_over_again(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        await made.wait_for_code("")
        before = (made.folder / "handover").stat()
        seen = len(made.boot.seen)
        await made.until(lambda: len(made.boot.seen) >= seen + 5)
        assert (made.folder / "handover").stat().st_ino == before.st_ino


async def test_the_machine_identifies_itself_in_the_url_and_in_headers(tmp_path: Path) -> None:
    async with rig(tmp_path, "/{mac}/{hostname}?id={machine-id}") as made:
        await made.wait_for_code("")
        request = made.boot.seen[0]
        assert request.raw_path == f"/52:54:00:00:00:01/web%201?id={ME.machine_id}"
        assert request.headers["Ordain-Machine-Id"] == ME.machine_id
        assert request.headers["Ordain-Mac"] == "52:54:00:00:00:01"


async def test_a_server_that_supports_it_is_asked_with_etag_and_wait(tmp_path: Path) -> None:
    async with rig(tmp_path) as made:
        made.boot.answer = lambda request: (
            web.Response(status=304)
            if request.headers.get("If-None-Match") == '"one"'
            else web.Response(body=GOOD, headers={"ETag": '"one"'})
        )
        await made.wait_for_code("")
        made.boot.asked.clear()
        await made.boot.asked.wait()
        assert made.boot.seen[-1].headers["If-None-Match"] == '"one"'
        assert made.boot.seen[-1].headers["Prefer"] == "wait=50"
        assert made.handover().health is not None


async def test_a_password_is_sent_and_shown_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials/boot").write_text("s3cret\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    caplog.set_level(logging.DEBUG)

    async with rig(tmp_path) as made:
        object.__setattr__(made.settings, "credential", "boot")
        await made.wait_for_code("")
        made.boot.answer = respond(401)
        await made.wait_for_code(SourceFault.UNAUTHORIZED)
        assert made.boot.seen[-1].headers["Authorization"] == "Bearer s3cret"
        (tmp_path / "credentials/boot").unlink()
        found = await made.wait_for_code(SourceFault.CREDENTIAL)
        assert found.health is not None
        assert "/etc/credstore/boot" in found.health.hint
        assert b"s3cret" not in (made.folder / "handover").read_bytes()
    assert "s3cret" not in caplog.text


async def test_the_reason_of_a_wait_is_handed_over_without_new_documents(tmp_path: Path) -> None:
    settings = SourceSettings(type=SourceKind.ETCD, endpoints=("http://127.0.0.1:1",))
    snapshot = Snapshot(texts=(("a", GOOD),), revision="1")
    changed = asyncio.Event()
    changed.set()

    class Waiting:
        """A source whose documents stay the same."""

        async def read(self) -> Snapshot:
            return snapshot

        async def changes(self, begun: Callable[[], None] = ignore) -> AsyncIterator[None]:
            while True:
                await changed.wait()
                changed.clear()
                yield

    for name in ("run", "state"):
        (tmp_path / name).mkdir()
    fetcher = Fetcher(lambda: cast(Any, Waiting()), settings, folder=tmp_path / "run", state=tmp_path / "state")
    following = asyncio.create_task(fetcher.run())
    handed_over: list[str] = []
    try:
        for waiting in ("", "the fleet holds machine web3 by alice\nbert", ""):
            snapshot = replace(snapshot, waiting=waiting)
            changed.set()
            async with asyncio.timeout(20):
                while (now := _waiting(tmp_path / "run/handover")) != waiting.replace("\n", "?"):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            handed_over.append(now)
    finally:
        following.cancel()
        await asyncio.wait([following])
    assert handed_over == ["", "the fleet holds machine web3 by alice?bert", ""]


async def test_the_reason_of_a_wait_for_the_first_release_is_handed_over_instead_of_other_documents(
    tmp_path: Path,
) -> None:
    settings = SourceSettings(type=SourceKind.ETCD, endpoints=("http://127.0.0.1:1",))

    class First:
        """A source whose machine has had other documents."""

        async def read(self) -> Snapshot:
            return Snapshot(texts=(), waiting="the rollout is at 1%")

        async def changes(self, begun: Callable[[], None] = ignore) -> AsyncIterator[None]:
            yield
            await asyncio.Event().wait()

    for name in ("run", "state"):
        (tmp_path / name).mkdir()
    before = Handover(location=settings.location, settings="", snapshot=Snapshot(texts=(("a", GOOD),)))
    (tmp_path / "run/handover").write_bytes(encode(before))
    fetcher = Fetcher(lambda: cast(Any, First()), settings, folder=tmp_path / "run", state=tmp_path / "state")
    assert fetcher.documents == before.snapshot.texts
    following = asyncio.create_task(fetcher.run())
    try:
        async with asyncio.timeout(20):
            while _waiting(tmp_path / "run/handover") != "the rollout is at 1%":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        following.cancel()
        await asyncio.wait([following])
    handover = decode((tmp_path / "run/handover").read_bytes())
    assert handover.snapshot.texts == ()
    assert handover.health is not None
    assert handover.health.connected


def _waiting(path: Path) -> str | None:
    with contextlib.suppress(FileNotFoundError):
        handover = decode(path.read_bytes())
        if handover.snapshot.texts or handover.snapshot.waiting:
            return handover.snapshot.waiting
    return None


class TwoServers:
    """A source of two servers, one of which may fail."""

    type = "etcd"
    location = "http://a, http://b"

    def __init__(self) -> None:
        self.faults: dict[str, SourceError] = {}

    async def read(self) -> Snapshot:
        return Snapshot(texts=(("a.yaml", GOOD),), revision="1")

    async def changes(self, begun: Callable[[], None] = ignore) -> AsyncIterator[None]:
        yield
        await asyncio.Event().wait()

    async def ask_replaced_servers(self) -> dict[str, SourceError]:
        return self.faults


async def test_a_server_that_fails_while_another_one_answers_is_reported_until_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher_module, "SERVERS_SEC", 0.01)
    source = TwoServers()
    for name in ("run", "state"):
        (tmp_path / name).mkdir()
    settings = SourceSettings(type=SourceKind.ETCD, endpoints=("http://a", "http://b"))
    fetcher = Fetcher(lambda: source, settings, folder=tmp_path / "run", state=tmp_path / "state")
    task = asyncio.create_task(fetcher.run())

    async def until(code: str) -> SourceHealth:
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(FileNotFoundError):
                    health = decode((tmp_path / "run/handover").read_bytes()).health
                    if health is not None and health.connected and health.code == code:
                        return health
                await asyncio.sleep(0.01)

    since = (await until("")).since
    source.faults = {"http://a": SourceError("http://a: no answer\x1b", code=SourceFault.UNREACHABLE)}
    health = await until(SourceFault.SERVER)
    assert health.what == "http://a: no answer? [SourceUnreachable]; another server answers"
    assert health.hint
    source.faults = {}
    assert (await until("")).since == since
    task.cancel()
