"""`agent.delivery.source.fetcher` and `.http` against a boot server that misbehaves on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web

from ordain.agent.delivery.database.backoff import Backoff
from ordain.agent.delivery.protocol import Source, SourceFault
from ordain.agent.delivery.source.handover_file import Handover, decode
from ordain.agent.delivery.source.http_source import MACHINE, HttpSource, MachineIdentity
from ordain.agent.source_daemon.fetcher import Fetcher
from ordain.agent.source_settings import SourceKind, SourceSettings

ME = MachineIdentity(machine_id="0" * 32, hostname="web 1", mac=("52:54:00:00:00:01",))
GOOD = b"ordain: v1\nkind: Layer\nname: base\n"


class Boot:
    """A boot server whose next answers are ``answer``; ``seen`` are the requests."""

    def __init__(self) -> None:
        self.answer: Callable[[web.Request], web.Response] = lambda _: web.Response(body=GOOD)
        self.seen: list[web.Request] = []
        self.asked = asyncio.Event()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        self.asked.set()
        return self.answer(request)


class Rig:
    """A fetcher of that server; ``handed`` waits for what it hands over."""

    def __init__(self, tmp_path: Path, boot: Boot, url: str) -> None:
        self.boot = boot
        self.folder, self.state = tmp_path / "run", tmp_path / "state"
        self.settings = SourceSettings(type=SourceKind.HTTP, endpoints=(url,), interval_usec=1_000)
        self.fetcher = self.make()

    def open(self) -> Source:
        return HttpSource(self.settings, lambda: ME)

    def make(self) -> Fetcher:
        backoff = Backoff(uniform=lambda low, high: 0.01)
        return Fetcher(self.open, self.settings, folder=self.folder, state=self.state, backoff=backoff)

    def now(self) -> Handover:
        return decode((self.folder / "handover").read_bytes())

    async def code(self, code: str) -> Handover:
        """Wait until the source is handed over as ``code``; "" is connected."""

        def is_so() -> bool:
            with contextlib.suppress(FileNotFoundError):
                health = self.now().health
                return health is not None and health.code == code and health.connected is (code == "")
            return False

        await self.until(is_so)
        return self.now()

    async def until(self, probe: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not probe():  # noqa: ASYNC110 - of files
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def rig(tmp_path: Path, path: str = "/{machine-id}.yaml") -> AsyncIterator[Rig]:
    boot = Boot()
    app = web.Application()
    app.router.add_get("/{path:.*}", boot.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    (tmp_path / "run").mkdir(exist_ok=True)
    (tmp_path / "state").mkdir(exist_ok=True)
    made = Rig(tmp_path, boot, f"http://127.0.0.1:{runner.addresses[0][1]}{path}")
    running = asyncio.create_task(made.fetcher.run())
    try:
        yield made
    finally:
        running.cancel()
        await asyncio.wait([running])
        await runner.cleanup()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ordain.agent.delivery.source.http_source.LEAST_SEC", 0.02)


def respond(status: int = 200, text: str = "", **headers: str) -> Callable[[web.Request], web.Response]:
    return lambda _: web.Response(
        status=status, text=text, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


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
def test_whatever_the_server_says_the_last_good_documents_stay(
    tmp_path: Path, answer: Callable[[web.Request], web.Response], code: SourceFault
) -> None:
    async def check() -> None:
        async with rig(tmp_path) as made:
            good = (await made.code("")).snapshot
            made.boot.answer = answer
            bad = await made.code(code)
            made.boot.answer = respond(200, GOOD.decode())
            again = await made.code("")

        assert bad.snapshot == good == again.snapshot
        assert good.texts == ((made.settings.endpoints[0], GOOD),), "the same on every machine"

    asyncio.run(check())


def test_a_change_is_handed_over_and_kept_for_the_next_start(tmp_path: Path) -> None:
    async def check() -> None:
        other = GOOD + b"weight: 1\n"
        async with rig(tmp_path) as made:
            await made.code("")
            made.boot.answer = lambda _: web.Response(body=other)
            await made.until(lambda: made.now().snapshot.texts[0][1] == other)
        (made.folder / "handover").unlink()
        later = made.make()
        lost = asyncio.create_task(later.run())
        found = await made.code(SourceFault.UNREACHABLE)
        lost.cancel()
        await asyncio.wait([lost])
        assert found.snapshot.texts[0][1] == other

    asyncio.run(check())


def test_a_bug_of_ours_is_one_more_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        async with rig(tmp_path) as made:
            good = (await made.code("")).snapshot
            monkeypatch.setattr("ordain.agent.delivery.source.http_source.require_success", lambda _: 1 / 0)
            assert (await made.code(SourceFault.INTERNAL)).snapshot == good

    asyncio.run(check())


def test_a_cache_of_another_source_is_not_handed_over(tmp_path: Path) -> None:
    async def check() -> None:
        async with rig(tmp_path) as made:
            await made.code("")
        async with rig(tmp_path) as other:
            other.boot.answer = respond(404)
            assert (await other.code(SourceFault.EMPTY)).snapshot.texts == ()

    asyncio.run(check())


def test_the_same_documents_are_no_news(tmp_path: Path) -> None:
    async def check() -> None:
        async with rig(tmp_path) as made:
            await made.code("")
            before = (made.folder / "handover").stat()
            seen = len(made.boot.seen)
            await made.until(lambda: len(made.boot.seen) >= seen + 5)
            assert (made.folder / "handover").stat().st_ino == before.st_ino

    asyncio.run(check())


def test_the_machine_says_who_it_is(tmp_path: Path) -> None:
    async def check() -> None:
        async with rig(tmp_path, "/{mac}/{hostname}?id={machine-id}") as made:
            await made.code("")
            request = made.boot.seen[0]
            assert request.raw_path == f"/52:54:00:00:00:01/web%201?id={ME.machine_id}"
            assert request.headers["Ordain-Machine-Id"] == ME.machine_id
            assert request.headers["Ordain-Mac"] == "52:54:00:00:00:01"

    asyncio.run(check())


def test_a_server_that_knows_them_hears_the_etag_and_the_patience(tmp_path: Path) -> None:
    async def check() -> None:
        async with rig(tmp_path) as made:
            made.boot.answer = lambda request: (
                web.Response(status=304)
                if request.headers.get("If-None-Match") == '"one"'
                else web.Response(body=GOOD, headers={"ETag": '"one"'})
            )
            await made.code("")
            made.boot.asked.clear()
            await made.boot.asked.wait()
            assert made.boot.seen[-1].headers["If-None-Match"] == '"one"'
            assert made.boot.seen[-1].headers["Prefer"] == "wait=50"
            assert made.now().health is not None

    asyncio.run(check())


def test_a_password_goes_out_and_shows_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials/boot").write_text("s3cret\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    caplog.set_level(logging.DEBUG)

    async def check() -> None:
        async with rig(tmp_path) as made:
            object.__setattr__(made.settings, "credential", "boot")
            await made.code("")
            made.boot.answer = respond(401)
            await made.code(SourceFault.UNAUTHORIZED)
            assert made.boot.seen[-1].headers["Authorization"] == "Bearer s3cret"
            (tmp_path / "credentials/boot").unlink()
            found = await made.code(SourceFault.CREDENTIAL)
            assert found.health is not None
            assert "/etc/credstore/boot" in found.health.hint
            assert b"s3cret" not in (made.folder / "handover").read_bytes()

    asyncio.run(check())
    assert "s3cret" not in caplog.text
