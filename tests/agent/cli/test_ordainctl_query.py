"""ordainctl query: the answer is complete, or says what it leaves out."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from ordain.agent.cli.main import main
from ordain.agent.delivery.database.database import ANY
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.fleet.report import MachineReport, encode_report
from ordain.agent.delivery.fleet.report_publisher import status_key
from ordain.agent.status import AgentState
from ordain.transforms.model import Facts

WEB = b"ordain: v1\nkind: Layer\nname: web\nservices: {web: {command: /bin/web}}\n"
BROKEN = b"ordain: v1\nkind: Layer\nname: broken\nservices: {web: {comand: /bin/web}}\n"
MACHINE = "0" * 31 + "1"
KEY = "documents/common/layer/broken"


class Query:
    """A store in a directory, with a document and a machine, and `ordainctl query`."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.store = path / "store"
        self.store.mkdir()
        self._capsys = capsys
        facts = Facts(machine_id=MACHINE, hostname="m1", id="debian", version="13", systemd=257)
        report = MachineReport(
            machine=MACHINE, hostname="m1", facts=facts, phase=AgentState.CONVERGED, seen=int(time.time())
        )
        self.put("documents/common/layer/web", WEB)
        self.put(status_key(MACHINE), encode_report(report))

    def put(self, key: str, data: bytes) -> None:
        asyncio.run(DirectoryDatabase(self.store).put(key, data, expect=ANY))

    def run(self, *words: str, status: int) -> tuple[str, str]:
        assert main(["query", *words, f"--store={self.store}"]) == status
        said = self._capsys.readouterr()
        return said.out, said.err


@pytest.fixture
def query(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Query:
    return Query(tmp_path, capsys)


@pytest.mark.parametrize("what", ["documents", "machines"])
def test_documents_that_cannot_be_read_are_named_with_place_and_remedy(query: Query, what: str) -> None:
    out, err = query.run(what, "services/web", "--json", status=0)
    assert (len(json.loads(out)), err) == (1, "")

    query.put(KEY, BROKEN)
    out, err = query.run(what, "services/web", "--json", status=3)

    assert len(json.loads(out)) == 1
    assert "common/layer/broken:4:" in err
    assert "comand" in err
    assert "leaves out common/layer/broken, which cannot be read; correct it (in a store: `ordainctl documents" in err
    assert query.run(what, "services/web", "--count", status=3)[0] == "1\n"
    if what == "machines":
        assert query.run(what, "state=converged", status=0)[1] == ""


def test_files_that_cannot_be_read_are_named(query: Query, tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_bytes(WEB)
    (tmp_path / "broken.yaml").write_bytes(BROKEN)

    out, err = query.run("documents", "services/web", f"--file={tmp_path}", status=3)

    assert "layer/web" in out
    assert "broken.yaml:4:" in err
    assert "no document" in query.run("documents", "services/web", f"--file={tmp_path}/no.yaml", status=3)[0]


def test_machines_whose_documents_cannot_be_resolved_make_the_answer_incomplete(query: Query) -> None:
    query.put(
        "documents/hostname=m1/layer/other", WEB.replace(b"name: web", b"name: other").replace(b"/bin/", b"/sbin/")
    )

    assert "m1: it refuses its documents" in query.run("machines", "services/web", status=3)[1]
    assert query.run("machines", "state=converged", "--count", status=0)[0] == "1\n"


@pytest.mark.parametrize("phase", list(AgentState))
def test_machines_in_every_state_are_found(query: Query, phase: AgentState) -> None:
    facts = Facts(machine_id=MACHINE, hostname="m1", id="debian", version="13", systemd=257)
    report = MachineReport(machine=MACHINE, hostname="m1", facts=facts, phase=phase, seen=int(time.time()))
    query.put(status_key(MACHINE), encode_report(report))
    out, _ = query.run("machines", "services/web", status=0)
    assert out.splitlines()[1].split()[:2] == ["m1", str(phase)]
