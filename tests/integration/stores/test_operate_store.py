"""The page on the operation of a store, docs/howto/operate-a-store.md: its commands, on three real members of etcd.

The first line of each block names the places where it is run: ``# at your desk``, ``# on store1, store2 and store3``.
Each member has an address of its own on the loopback network, and its own directories for /etc/etcd and /var/lib/etcd.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from ordain.agent.delivery.release import signing
from ordain.agent.delivery.release.trusted_keys import PublicKey
from rig.debian_roots import CLEAN_ENVIRONMENT
from rig.stores.store_servers import MEMORY
from support.pages.page_blocks import blocks

pytestmark = pytest.mark.integration
TREE = Path(__file__).parents[3]
PAGE = TREE / "docs/howto/operate-a-store.md"
HOSTS = {"store1": "127.77.0.1", "store2": "127.77.0.2", "store3": "127.77.0.3"}
STORE = "etcd+https://store1:2379,store2:2379,store3:2379/ordain/"
LOGIN = f"--store {STORE} --ca ca.pem --user ops --password-file ops.password"
PATIENCE_SEC = 120.0
PREAMBLE = r"""
set -euo pipefail
mount --bind $HOSTS_FILE /etc/hosts
ordainctl() { "$PYTHON" -c 'import sys; from ordain.agent.cli.main import main; sys.exit(main())' "$@"; }
chown() { :; }
runs() { [ -e $STATE/pid ] && grep -qs '^State:.[^Z]' /proc/$(cat $STATE/pid)/status; }
systemctl() {
    case $1 in stop|restart)
        if runs; then kill $(cat $STATE/pid); fi
        while runs; do sleep 0.05; done
    esac
    if [ $1 = stop ]; then return; fi
    grep -q ^heartbeat $STATE/etc/etcd.yaml ||
        printf 'heartbeat-interval: 300\nelection-timeout: 3000\n' >>$STATE/etc/etcd.yaml
    setsid timeout 500 etcd --config-file $STATE/etc/etcd.yaml >>$STATE/log 2>&1 </dev/null &
    echo $! >$STATE/pid
}
"""
MACHINE = r"""
import asyncio, sys
from pathlib import Path
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.release.admission import admit_snapshot
from ordain.agent.delivery.source.release_reader import ReleaseReader
from ordain.agent.delivery.source.source_factory import open_database
from ordain.agent.settings import Trust
from ordain.agent.source_settings import SourceKind, SourceSettings
from ordain.transforms.machine.facts import read_facts

async def read(root):
    urls = tuple(f"https://store{number}:2379" for number in (1, 2, 3))
    settings = SourceSettings(type=SourceKind.ETCD, endpoints=urls, user="node", ca=str(Path("ca.pem").absolute()))
    database = open_database(settings, password=lambda: Path("node.password").read_text().strip(), key="")
    try:
        snapshot = await ReleaseReader(database, lambda: read_facts(root), {}).read()
        return admit_snapshot(root, Trust.REQUIRED, snapshot)[1].title
    except SourceError as error:
        return str(error.code)
    finally:
        await database.close()

print(asyncio.run(read(Path(sys.argv[1]))))
"""


class Site:
    """Three hosts, a desk and a machine, each with a directory below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.desk = folder / "desk"
        self.machine_root = folder / "machine"
        (self.desk / "documents").mkdir(parents=True)
        (folder / "hosts").write_text("".join(f"{ip} {name}\n" for name, ip in HOSTS.items()) + "127.0.0.1 localhost\n")
        for host in HOSTS:
            for name in ("etc", "var"):
                (folder / host / name).mkdir(parents=True)

    def run(self, text: str, host: str = "store1", *, at: Path | None = None) -> str:
        """Run a script on a host, or at the desk, and return its output. Raises `AssertionError` if it fails."""
        state = self.folder / host
        for path, name in (("/etc/default/etcd", "default"), ("/etc/etcd", "etc"), ("/var/lib/etcd", "var")):
            text = text.replace(path, f"{state}/{name}")
        text = text.replace("0.0.0.0", HOSTS[host])
        # On the loopback network, all members connect from this address, which etcd looks for in their certificates.
        text = text.replace("DNS:%s", "DNS:%s,IP:127.0.0.1")
        variables = {
            **CLEAN_ENVIRONMENT,
            "HOSTS_FILE": str(self.folder / "hosts"),
            "STATE": str(state),
            "PYTHON": sys.executable,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        script = f"{PREAMBLE}\nHOSTNAME={host}\n{text}"
        done = subprocess.run(
            ["unshare", "--mount", "--propagation=private", "bash", "-c", script],
            env=variables,
            cwd=at or self.desk,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE_SEC,
            check=False,
        )
        logs = "".join((self.folder / name / "log").read_text()[-1500:] for name in HOSTS if self.is_begun(name))
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}\n{logs}"
        return done.stdout

    def is_begun(self, host: str) -> bool:
        """Return whether a member was ever started."""
        return (self.folder / host / "log").exists()

    def block(self, text: str) -> None:
        """Run a block of the page at the places that its first line names."""
        first = text.strip().splitlines()[0]
        hosts = re.findall(r"store\d", first)
        assert hosts or "at your desk" in first, first
        for host in hosts:
            self.run(text, host)
        if not hosts:
            self.run(text)

    def lose(self, *hosts: str) -> None:
        """Kill members as a power cut would, and their disks with them, except for the last one."""
        for host in hosts:
            group = int((self.folder / host / "pid").read_text())
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE_SEC
        while any(is_listening(HOSTS[host], port) for host in hosts for port in (2379, 2380)):
            assert time.monotonic() < deadline, f"{hosts} listen after they were killed"
            time.sleep(0.05)

    def wait(self, condition: str) -> None:
        """Wait until a script at the desk succeeds."""
        deadline = time.monotonic() + PATIENCE_SEC
        while True:
            try:
                self.run(f". ./etcdctl.env\n{condition}")
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
            else:
                return

    def wait_for_members(self, *hosts: str) -> None:
        """Wait until the members answer, have one leader, and are at the same revision."""
        endpoints = ",".join(f"https://{host}:2379" for host in hosts)
        self.wait(
            f"export ETCDCTL_ENDPOINTS={endpoints}; etcdctl endpoint health\n"
            """[ $(etcdctl endpoint status -w json | grep -o '"revision":[0-9]*' | sort -u | wc -l) = 1 ]"""
        )

    def machine(self) -> str:
        """Return the release that a machine accepts now, or the code of the fault that it reports."""
        (self.folder / "machine.py").write_text(MACHINE)
        return self.run(f'"$PYTHON" {self.folder}/machine.py {self.machine_root}').strip()

    def publish(self, number: int) -> None:
        """Publish a release with another document."""
        text = f"ordain: v1\nkind: Layer\nname: base\nvalues: {{number: {number}}}\n"
        (self.desk / "documents/base.yaml").write_text(text)
        self.run(
            f"ordainctl release create documents --number {number} --key ops.key --output stable.json\n"
            f"ordainctl release publish stable.json documents --why 'release {number}' {LOGIN}"
        )

    def end(self) -> None:
        """Kill all members."""
        self.lose(*(host for host in HOSTS if (self.folder / host / "pid").exists()))


def is_listening(address: str, port: int) -> bool:
    """Return whether a process listens there: one that was killed does until the kernel has closed its sockets."""
    with socket.socket() as client:
        return client.connect_ex((address, port)) == 0


@pytest.fixture
def site(etcd_here: None) -> Iterator[Site]:
    """Return three hosts without etcd, on a file system in memory."""
    folder = Path(tempfile.mkdtemp(prefix="ordain-operate-", dir=MEMORY))
    site = Site(folder)
    try:
        yield site
    finally:
        site.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.skipif(not PAGE.exists() or os.geteuid() != 0, reason="needs the source tree, and root to mount a file")
def test_a_store_is_set_up_backed_up_repaired_and_restored_as_the_page_says(site: Site) -> None:
    reason = str(Path(__file__).relative_to(TREE))
    found = iter([dedent(block.text) for block in blocks(PAGE, TREE) if block.reason == reason])
    certificates, members, init, environment, backup, replace, successor, defragment, full = (
        next(found) for _ in range(9)
    )

    site.block(certificates)
    for host in HOSTS:
        for name in ("ca.pem", f"{host}.pem", f"{host}.key"):
            shutil.copy(site.desk / name, site.folder / host / "etc")
    site.block(members)
    (site.desk / "etcdctl.env").write_text("export ETCDCTL_API=3 ETCDCTL_CACERT=ca.pem\n")
    site.wait_for_members(*HOSTS)
    (site.desk / "root.password").write_text("a long password of root\n")
    site.block(init)
    site.block(environment)
    pem, raw = signing.generate_key(b"")
    (site.desk / "ops.key").write_bytes(pem)
    trust = site.machine_root / "etc/ordain/trust"
    trust.mkdir(parents=True)
    (trust / "ops.pub").write_text(f"{PublicKey(name='ops', raw=raw).line}\n")
    (site.machine_root / "etc/machine-id").write_text("0" * 31 + "1\n")
    (site.machine_root / "etc/os-release").write_text("ID=debian\nVERSION_ID=13\n")
    site.publish(1)
    assert site.machine() == "stable 1"
    site.block(backup)

    site.lose("store3")
    site.publish(2)
    assert site.machine() == "stable 2"
    site.block(replace)
    site.block(successor)
    site.wait_for_members(*HOSTS)
    site.block(defragment)
    site.block(full)
    site.wait_for_members(*HOSTS)

    site.lose("store2", "store3")
    assert site.machine() == "SourceUnreachable"
    alone, normal = next(found), next(found)
    site.block(alone)
    site.wait_for_members("store1")
    site.block(normal)
    site.wait_for_members("store1")
    assert site.machine() == "stable 2"
    site.block(next(found))
    site.block(next(found))
    site.wait_for_members("store1", "store2")
    third = next(found)
    site.wait(third)  # etcd refuses it until the second member has been connected for five seconds
    site.block(next(found))
    site.wait_for_members(*HOSTS)
    assert site.machine() == "stable 2"

    site.lose(*HOSTS)
    site.block(next(found))
    with_users = (site.desk / "etcdctl.env").read_text()
    (site.desk / "etcdctl.env").write_text("export ETCDCTL_API=3 ETCDCTL_CACERT=ca.pem\n")  # there are no users yet
    site.wait_for_members(*HOSTS)
    (site.desk / "etcdctl.env").write_text(with_users)
    site.block(next(found))
    assert site.machine() == "ReleaseReplayed"
    site.block(next(found))
    assert site.machine() == "stable 3"
    assert next(found, None) is None
    assert "after the restore" in site.run(f"ordainctl query changes --since today {LOGIN}")
