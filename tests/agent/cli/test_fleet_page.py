"""The commands of fleet-on-etcd.md about machines that report, on a store in a directory with the report of one."""

from __future__ import annotations

import asyncio
import shlex
import time
from pathlib import Path

import pytest

from ordain.agent.cli.main import main
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.fleet.report import MachineReport, encode_report
from ordain.agent.delivery.fleet.report_publisher import status_key
from ordain.agent.status import AgentState
from ordain.transforms.model import Facts
from support.pages.page_blocks import Block, blocks

TREE = Path(__file__).parents[3]
TEST = str(Path(__file__).relative_to(TREE))
BLOCKS = [block for block in blocks(TREE / "docs/howto/fleet-on-etcd.md", TREE) if block.reason == TEST]
NGINX = b"ordain: v1\nkind: Layer\nname: nginx\nservices: {nginx: {command: /bin/x, limits: {memory: 512M}}}\n"
EXPECTED = {
    "fleet status": "web3",
    "fleet show": "converged",
    "fleet hold": "its disk is replaced",
    "fleet follow": "web3",
    "query documents": "nginx",
    "query machines": "",
}
"""Words of the answer of each command."""


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"line {block.line}")
def test_the_commands_of_the_page_work(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = {"role": ("web",)}
    facts = Facts(machine_id="3" * 32, hostname="web3", id="debian", version="13", systemd=257, labels=labels)
    report = MachineReport(
        machine=facts.machine_id,
        hostname="web3",
        facts=facts,
        labels=labels,
        phase=AgentState.CONVERGED,
        seen=int(time.time()),
    )
    store = DirectoryDatabase(tmp_path)
    asyncio.run(store.put("documents/common/layer/nginx", NGINX, expect=None))
    asyncio.run(store.put(status_key(facts.machine_id), encode_report(report), expect=None))
    monkeypatch.setenv("ORDAIN_STORE", str(tmp_path))

    for line in block.text.splitlines():
        _, *words = shlex.split(line, comments=True)
        assert main(words) == 0, line
        assert EXPECTED[" ".join(words[:2])] in capsys.readouterr().out


def test_the_page_has_such_blocks() -> None:
    assert len(BLOCKS) == 2
