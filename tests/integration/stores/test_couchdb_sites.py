"""A CouchDB with a second site: the commands of docs/howto/operate-a-store.md, between two servers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from rig.debian_roots import CLEAN_ENVIRONMENT
from rig.stores import store_servers
from support.page_blocks import blocks

pytestmark = pytest.mark.integration
TREE = Path(__file__).parents[3]
PAGE = TREE / "docs/howto/operate-a-store.md"
PASSWORD = "a long password of the administrator"
PATIENCE_SEC = 120.0
PREAMBLE = """
set -euo pipefail
ordainctl() { "$PYTHON" -c 'import sys; from ordain.agent.cli.main import main; sys.exit(main())' "$@"; }
"""
FIRST = "ordain: v1\nkind: Layer\nname: base\nvalues: {n: 1}\n"
MORE = FIRST.replace("base", "more").replace("n: 1", "m: 1")


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

    sites.put("a", FIRST)
    sites.until(lambda: "n: 1" in sites.documents("b", "get", "base").stdout)
    sites.until(lambda: sites.run(sites.check).returncode == 0)

    # Both sites write: the conflict is settled where it is, and the first site keeps its own version.
    sites.put("b", FIRST.replace("n: 1", "n: 20"))
    sites.put("a", FIRST.replace("n: 1", "n: 3"))
    sites.until(lambda: "versions in conflict" in sites.documents("b", "list").stdout)
    sites.put("b", FIRST.replace("n: 1", "n: 4"))
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
    sites.put("b", FIRST.replace("n: 1", "n: 5"))
    assert "n: 5" in sites.documents("b", "get", "base").stdout
