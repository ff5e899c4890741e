"""A fleet in a directory: its store, its administrator, and machines, each below a root directory of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ordain.agent.cli.main import main
from ordain.agent.delivery.backoff import Backoff
from ordain.agent.delivery.database.database import Database
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.fleet.report import PATH, MachineReport, encode_report
from ordain.agent.delivery.fleet.report_publisher import ReportPublisher
from ordain.agent.delivery.identity.key_file import read_machine_key
from ordain.agent.status import AgentState as Phase

T = TypeVar("T")


class Fleet:
    """A store, its administrator, and machines, each below a root directory of its own."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self.store = path / "store"
        self.store.mkdir()
        self._capsys = capsys

    @property
    def option(self) -> str:
        """Return the option that names the store."""
        return f"--store={self.store}"

    def open(self) -> Database:
        """Open the store as a machine or an administrator does."""
        return DirectoryDatabase(self.store)

    def machine(self, name: str, digit: str) -> Path:
        """Return the root of a new machine."""
        root = self.path / f"machine-{name}-{digit}"
        (root / "etc").mkdir(parents=True)
        (root / "etc/machine-id").write_text(digit * 32 + "\n")
        (root / "etc/hostname").write_text(name + "\n")
        (root / "etc/os-release").write_text("ID=debian\nVERSION_ID=13\n")
        return root

    def run(self, *words: str, root: Path | None = None, status: int = 0) -> str:
        """Run `ordainctl fleet WORDS`, on a machine or as the administrator, and return its output."""
        found = main(["fleet", *words, self.option], root=root or self.path)
        out, err = self._capsys.readouterr()
        assert found == status, out + err
        return out + err

    def token(self, *words: str) -> str:
        """Return the path of a file with a new token."""
        main(["fleet", "token", *words, self.option], root=self.path)
        path = self.path / f"token{len(list(self.path.glob('token*')))}"
        path.write_text(self._capsys.readouterr().out)
        return str(path)

    def join(self, root: Path, *words: str) -> str:
        """Enroll a machine with a token for its name, and return what the administrator saw."""
        name = (root / "etc/hostname").read_text().strip()
        self.run("enroll", "--token-file", self.token("--name", name, *words), root=root, status=3)
        return self.run("approve", "--vouched")

    def report(self, root: Path, **more: Any) -> None:
        """Send the report of a machine as ordain-source does."""
        machine = (root / "etc/machine-id").read_text().strip()
        name = (root / "etc/hostname").read_text().strip()
        report = MachineReport(machine=machine, hostname=name, phase=Phase.CONVERGED, **more)
        (root / PATH).parent.mkdir(parents=True, exist_ok=True)
        (root / PATH).write_bytes(encode_report(report))
        publisher = ReportPublisher(root=root, open=self.open, key=read_machine_key(root), sleep=_no_sleep)
        assert asyncio.run(publisher._attempt(Backoff())) is None

    def database(self, work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """Do ``work`` on the store."""

        async def run() -> T:
            database = self.open()
            try:
                return await work(database)
            finally:
                await database.close()

        return asyncio.run(run())


async def _no_sleep(seconds: float) -> None: ...
