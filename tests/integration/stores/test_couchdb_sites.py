"""Two servers of CouchDB's protocol: the commands of the page for a second site, and a replica that is behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from ordain.agent.delivery.database.database import ANY
from ordain.agent.delivery.protocol import SourceFault
from ordain.agent.source_settings import SourceKind, SourceSettings
from rig.debian_roots import CLEAN_ENVIRONMENT
from rig.stores import store_servers
from rig.stores.source_harness import BASE, FIRST, SECOND, TIMING, SourceMachine, writing_to
from support.pages.page_blocks import blocks

pytestmark = pytest.mark.integration
TREE = Path(__file__).parents[3]
PAGE = TREE / "docs/howto/operate-a-store.md"
PASSWORD = "a long password of the administrator"
PATIENCE_SEC = 120.0
PREAMBLE = """
set -euo pipefail
ordainctl() { "$PYTHON" -c 'import sys; from ordain.agent.cli.main import main; sys.exit(main())' "$@"; }
"""
LAYER = "ordain: v1\nkind: Layer\nname: base\nvalues: {n: 1}\n"
MORE = LAYER.replace("base", "more").replace("n: 1", "m: 1")


class Sites:
    """Two servers, and the desk from which both are operated."""

    def __init__(self, desk: Path, first: store_servers.PouchServer, second: store_servers.PouchServer) -> None:
        self.desk, self.first, self.second = desk, first, second
        (desk / "operator.password").write_text(PASSWORD + "\n")
        self._blocks = [
            dedent(block.text) for block in blocks(PAGE, TREE) if block.reason == str(Path(__file__).relative_to(TREE))
        ]

    @property
    def set_up(self) -> str:
        """Return the commands that set both sites up."""
        return self._blocks[0]

    @property
    def check(self) -> str:
        """Return the command that looks at the second site."""
        return self._blocks[1]

    def run(self, text: str) -> subprocess.CompletedProcess[str]:
        """Run commands of the page at the desk."""
        for host, server in (("db.site-a", self.first), ("db.site-b", self.second)):
            text = text.replace(f"https://{host}:6984", server.url)
        variables = {
            **CLEAN_ENVIRONMENT,
            "PYTHON": sys.executable,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        command = ["bash", "-c", f"{PREAMBLE}\n{text}"]
        return subprocess.run(
            command,
            env=variables,
            cwd=self.desk,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE_SEC,
            check=False,
        )

    def documents(self, site: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `ordainctl documents WORDS` at a site as its administrator."""
        store = f"--store couchdb+https://db.site-{site}:6984/ordain --user operator --password-file operator.password"
        return self.run(f"ordainctl documents {' '.join(words)} {store}")

    def put(self, site: str, text: str) -> None:
        """Write the layer ``base`` at a site."""
        (self.desk / "base.yaml").write_text(text)
        done = self.documents(site, "put", "base.yaml")
        assert done.returncode == 0, done

    def until(self, what: Callable[[], bool]) -> None:
        """Wait until ``what`` returns true."""
        deadline = time.monotonic() + PATIENCE_SEC
        while not what():
            assert time.monotonic() < deadline, self.run(self.check)
            time.sleep(0.2)


@pytest.fixture
def sites(pouch_here: None, tmp_path: Path) -> Iterator[Sites]:
    """Return two sites whose servers are new."""
    with (
        store_servers.PouchServer(user="operator", password=PASSWORD) as first,
        store_servers.PouchServer(user="operator", password=PASSWORD) as second,
    ):
        yield Sites(tmp_path, first, second)


@pytest.mark.skipif(not PAGE.exists(), reason="needs the source tree")
def test_a_second_site_is_set_up_as_the_page_says(sites: Sites) -> None:
    done = sites.run(sites.set_up)
    assert done.returncode == 0, done

    sites.put("a", LAYER)
    sites.until(lambda: "n: 1" in sites.documents("b", "get", "base").stdout)
    sites.until(lambda: sites.run(sites.check).returncode == 0)

    # Both sites write: the conflict is settled where it is, and the first site keeps its own version.
    sites.put("b", LAYER.replace("n: 1", "n: 20"))
    sites.put("a", LAYER.replace("n: 1", "n: 3"))
    sites.until(lambda: "versions in conflict" in sites.documents("b", "list").stdout)
    sites.put("b", LAYER.replace("n: 1", "n: 4"))
    assert "n: 4" in sites.documents("b", "get", "base").stdout
    assert "versions in conflict" not in sites.documents("b", "list").stdout
    assert "n: 3" in sites.documents("a", "get", "base").stdout

    # A document that is deleted at the first site and written there again arrives as the new one.
    (sites.desk / "more.yaml").write_text(MORE)
    assert sites.documents("a", "put", "more.yaml").returncode == 0
    assert sites.documents("a", "delete", "more").returncode == 0
    (sites.desk / "more.yaml").write_text(MORE.replace("m: 1", "m: 2"))
    assert sites.documents("a", "put", "more.yaml").returncode == 0
    sites.until(lambda: "m: 2" in sites.documents("b", "get", "more").stdout)

    # The first site is lost: the second one says so, and can be written.
    sites.first.end()
    sites.until(lambda: "is crashing" in sites.run(sites.check).stdout)
    assert sites.run(sites.check).returncode == 3
    sites.put("b", LAYER.replace("n: 1", "n: 5"))
    assert "n: 5" in sites.documents("b", "get", "base").stdout


async def test_a_replica_that_is_behind_takes_no_document_back(pouch_here: None, tmp_path: Path) -> None:
    """The server of a machine dies, and its other one lacks the newest write."""
    with store_servers.PouchServer() as first, store_servers.PouchServer() as second:
        settings = SourceSettings(type=SourceKind.COUCHDB, endpoints=(first.url, second.url))
        timing = replace(TIMING, check_sec=120.0)  # a replica that is behind is not believed for this time
        machine = SourceMachine(settings=settings, folder=tmp_path / "machine", timing=timing)
        async with writing_to(machine) as database:
            await database.put(BASE, FIRST, expect=None)
            ends = {"source": {"url": f"{first.url}/ordain"}, "target": {"url": f"{second.url}/ordain"}}
            second.call("PUT", "_replicator/once", ends)
            await asyncio.to_thread(wait_until, lambda: replication_state(second) == "completed")
            await database.put(BASE, SECOND, expect=ANY)
        async with machine.running():
            await machine.wait_for_documents(SECOND)
            first.end()
            await machine.wait_for_fault(SourceFault.REWOUND, SECOND)
            first.start()
            await machine.wait_for_documents(SECOND)


def replication_state(server: store_servers.PouchServer) -> str:
    return str(server.call("GET", "_scheduler/docs")["docs"][0]["state"])


def wait_until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SEC
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)
