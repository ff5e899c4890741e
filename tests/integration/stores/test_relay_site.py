"""The page about a site behind a relay, with a real etcd that checks rights, and a relay as a process of its own."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ordain.agent.cli.main import main
from ordain.agent.delivery.backoff import Backoff
from ordain.agent.delivery.fleet.report import PATH, MachineReport, encode_report
from ordain.agent.delivery.fleet.report_publisher import ReportPublisher
from ordain.agent.delivery.identity.key_file import read_machine_key
from ordain.agent.delivery.identity.secret_text import secrets_of
from ordain.agent.delivery.source.source_factory import open_database, open_remote
from ordain.agent.secrets.unsealing import Unsealer
from ordain.agent.settings import read_settings
from ordain.agent.status import AgentState as Phase
from ordain.transforms.document.reader import read
from rig.stores import store_servers
from rig.stores.certificates import Authority
from support.pages.page_blocks import blocks

pytestmark = pytest.mark.integration
TREE = Path(__file__).parents[3]
PAGE = TREE / "docs/howto/relay.md"
ID = "c" * 32
COMMAND = "import sys; from ordain.agent.cli.main import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def etcd(etcd_here: None) -> Iterator[store_servers.EtcdCluster]:
    """Return a new member of etcd without users."""
    with store_servers.EtcdCluster(count=1) as cluster:
        yield cluster


class Desk:
    """An administrator, who runs the commands of the page, and a machine below ``root``."""

    def __init__(self, etcd: store_servers.EtcdCluster, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.root = folder / "machine"
        self._url = etcd.endpoints[0].replace("http", "etcd+http", 1) + "/ordain/"
        self._capsys = capsys
        (folder / "root.password").write_text("rootpw\n")
        (self.root / "etc/ordain").mkdir(parents=True)
        for name, text in (("machine-id", ID), ("hostname", "web3"), ("os-release", "ID=debian\nVERSION_ID=13")):
            (self.root / "etc" / name).write_text(f"{text}\n")

    @property
    def store(self) -> tuple[str, ...]:
        """Return the options that name the store."""
        return ("--store", self._url, "--user", "root", "--password-file", str(self.folder / "root.password"))

    def lines(self) -> Iterator[list[str]]:
        """Yield the commands of the page, with the places of this test."""
        for block in blocks(PAGE, TREE):
            for line in block.text.splitlines():
                text = line.strip().replace("etcd+https://a:2379/ordain/", self._url)
                for name in ("relay.password", "web3.token", "relay1.pem", "relay1.key"):
                    text = re.sub(rf"(?<![\w/]){re.escape(name)}", str(self.folder / name), text)
                text = text.replace("/var/lib/ordain-relay", str(self.folder / "state")).replace(":8443", "127.0.0.1:0")
                text = text.replace("--user root", f"--user root --password-file {self.folder / 'root.password'}")
                yield shlex.split(text)

    def run(self, words: list[str], status: int = 0, root: Path | None = None) -> str:
        """Run a command, and return its output; what follows ``>`` is the file for it."""
        assert words[0] == "ordainctl"
        words, file = (words[:-1], words[-1].removeprefix(">")) if words[-1].startswith(">") else (words, "")
        found = main(words[1:], root=root or self.folder)
        out, err = self._capsys.readouterr()
        assert found == status, out + err
        if file:
            Path(file).write_text(out)
        return out + err

    @contextmanager
    def relay(self, words: list[str]) -> Iterator[str]:
        """Run the command of the relay as a process, and yield its URL."""
        log = self.folder / "relay.log"
        with (
            log.open("wb") as output,
            subprocess.Popen([sys.executable, "-c", COMMAND, *words[1:]], stderr=output) as process,
        ):
            try:
                until = time.monotonic() + 60
                while not (url := re.search(r"relay relay1 of \S+ at (https://127\.0\.0\.1:[0-9]+)", log.read_text())):
                    assert process.poll() is None, log.read_text()
                    assert time.monotonic() < until, log.read_text()
                    time.sleep(0.05)
                while "connected" not in log.read_text():
                    assert time.monotonic() < until, log.read_text()
                    time.sleep(0.05)
                yield url[1]
                process.terminate()
                assert process.wait(60) == 0, log.read_text()
            finally:
                process.kill()


async def texts_of(root: Path) -> tuple[tuple[str, bytes], ...]:
    """Return the documents that ordain-source hands over on a machine."""
    key = read_machine_key(root)
    source = open_remote(read_settings(root)[0], root, None, None, key.sign if key else None)
    try:
        return (await source.read()).texts
    finally:
        await source.close()  # type: ignore[attr-defined]


async def report(root: Path) -> None:
    """Report the status of a machine, as ordain-source does."""
    key = read_machine_key(root)
    assert key is not None
    (root / PATH).parent.mkdir(parents=True, exist_ok=True)
    (root / PATH).write_bytes(encode_report(MachineReport(machine=ID, hostname="web3", phase=Phase.CONVERGED)))
    settings = read_settings(root)[0].source
    publisher = ReportPublisher(root=root, open=lambda: open_database(settings, sign=key.sign), key=key)
    while await publisher._attempt(Backoff()) is not None:  # noqa: ASYNC110
        await asyncio.sleep(0.2)


@pytest.mark.skipif(not PAGE.exists(), reason="needs the source tree")
def test_a_site_is_set_up_as_the_page_says(
    etcd: store_servers.EtcdCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(etcd, tmp_path, capsys)
    Authority(tmp_path).issue("relay1")
    init, serve, token, enroll, approve, enrolled, status, state = desk.lines()
    desk.run([*init, "--machine-password-file", str(tmp_path / "node.password"), "--yes"])
    with desk.relay(serve) as url:
        (agent_yaml,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
        text = re.sub(r"endpoints: .*", f'endpoints: ["{url}"]', agent_yaml)
        text = text.replace("/etc/ordain/site-ca.pem", str(tmp_path / "test-ca.pem"))
        (desk.root / "etc/ordain/agent.yaml").write_text(f"{text}trust: open\n")
        desk.run(token)
        until = time.monotonic() + 60
        while main(enroll[1:], root=desk.root) != 3:  # the copy of the relay does not have the new fleet yet
            assert "no record of the fleet" in capsys.readouterr().err
            assert time.monotonic() < until
            time.sleep(0.1)
        desk.run(approve)
        assert "this machine is enrolled as web3" in desk.run([*enrolled, "--wait", "60s"], 0, desk.root)

        (tmp_path / "password").write_text("sesame")
        seal = ["ordainctl", "secret", "seal", "--for", "machine=web3", "--file", str(tmp_path / "password")]
        desk.run([*seal, "--put", "db-password", *desk.store])
        (path, data), *_ = asyncio.run(until_it_has_documents(desk.root))
        assert "db-password" in path
        (document,) = read(path, data)[0]
        assert document.name == "secret-db-password"
        (sealed,) = secrets_of(document.sections)
        assert Unsealer(desk.root).open(sealed.secret.text) == b"sesame"

        asyncio.run(report(desk.root))
        until = time.monotonic() + 60
        while "no machine reports" in (shown := desk.run(status)):
            assert time.monotonic() < until
            time.sleep(0.1)
        assert re.search(r"web3 .* connected|web3 .* relay1", shown), shown
        assert "BEHIND" in shown
        assert "relay1" in shown
        until = time.monotonic() + 60
        while main(state[1:], root=desk.folder) != 0:  # the file of the state is written a moment later
            assert time.monotonic() < until
            time.sleep(0.1)
        capsys.readouterr()
        assert "connected" in desk.run(state)
    password = (tmp_path / "relay.password").read_text().strip()
    for key in ("documents/x", "releases/x", "blobs/x", f"machines/{ID}"):
        with pytest.raises(subprocess.CalledProcessError):
            etcd.ctl("put", f"/ordain/{key}", "x", user=f"relay:{password}")
    desk.run(["ordainctl", "store", "init", "--slots", "own", "--yes", *desk.store])
    etcd.ctl("put", f"/ordain/locks/_own/{ID}", "x", user=f"relay:{password}")
    desk.run(["ordainctl", "store", "check", "--relay-user", "relay", *desk.store])


async def until_it_has_documents(root: Path) -> tuple[tuple[str, bytes], ...]:
    """Return the documents of a machine as soon as there are some."""
    async with asyncio.timeout(60):
        while not (texts := await texts_of(root)):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return texts
