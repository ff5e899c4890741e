"""Every drawn section is refused with a reason, or the program that reads the files understands them whole.

The judges are nmcli of Debian 12, the parser of Debian 13's systemd-networkd, and Debian 13's netplan. More draws:
`ORDAIN_DRAWS=1000 pytest …`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rig import debian_roots
from support.network import network_roots
from support.network.network_compile import compiled, refusals
from support.samples.network_draws import section

pytestmark = pytest.mark.thorough

DRAWS = int(os.environ.get("ORDAIN_DRAWS", "60"))
BLOCKS = 10
"""Tests into which the draws are divided, so that a failure shows the first wrong draw of each."""
WITHOUT = {
    *("emit-lldp", "neigh-suppress", "port-mac-learning", "ra-overrides", "checksums", "extensions", "flow-label"),
    *("do-not-fragment", "activation-mode", "ignore-carrier", "advertised-mss"),
}
"""Keys that NetworkManager does not have: with them, most draws would be blocked."""

Blocks = pytest.mark.parametrize("block", range(BLOCKS))


def seeds(block: int) -> Iterator[int]:
    yield from range(block, DRAWS, BLOCKS)


@pytest.fixture(scope="module")
def network_manager() -> Path:
    return network_roots.managers()


@Blocks
def test_network_manager_accepts_every_keyfile(network_manager: Path, block: int) -> None:
    for seed in seeds(block):
        files, _ = compiled(section(seed, WITHOUT), "NetworkManager")
        for path, content in files.items():
            if path.endswith(".nmconnection"):
                command = ["chroot", os.fspath(network_manager), "nmcli", "--offline", "connection", "modify"]
                done = subprocess.run(
                    [*command, "connection.zone", ""],
                    input=content,
                    capture_output=True,
                    text=True,
                    env=debian_roots.CLEAN_ENVIRONMENT,
                )
                assert (done.returncode, done.stderr) == (0, ""), f"draw {seed}: {content}"


UNDERSTOOD = re.compile(
    "|".join(
        (
            "Successfully loaded",
            "0644 mode that is too permissive",  # the mode of a file with a key is another test
            "Setting RequiredForOnline=no because ActivationPolicy=",
            "Gateway= without static address configured. Enabling GatewayOnLink= option.",
            "NetDev could not be found, ignoring assignment",  # it is blocked
        )
    )
)
"""Lines about our files that say nothing is lost."""


@pytest.fixture
def networkd(tmp_path: Path) -> Callable[[dict[str, str]], list[str]]:
    """Return a function that gives files to Debian 13's systemd-networkd, and returns its complaints about them."""
    tree = network_roots.netplan()
    files = tmp_path / "files"
    script = (
        f"mount -t tmpfs none {tree}/run && mkdir -p {tree}/run/systemd/network"
        f" && cp {files}/* {tree}/run/systemd/network && mount --rbind /proc {tree}/proc"
        f" && mount --rbind /sys {tree}/sys && exec chroot {tree} /usr/lib/systemd/systemd-networkd"
    )

    def complaints(contents: dict[str, str]) -> list[str]:
        shutil.rmtree(files, ignore_errors=True)
        files.mkdir()
        for path, content in contents.items():
            (files / Path(path).name).write_text(content)
        command = ["unshare", "--net", "--mount", "sh", "-c", script]
        log = {"SYSTEMD_LOG_TARGET": "console", "SYSTEMD_LOG_LEVEL": "debug"}
        said: list[str] = []
        with subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env={**debian_roots.CLEAN_ENVIRONMENT, **log}
        ) as process:
            assert process.stderr is not None
            for line in process.stderr:  # it reads its files before anything else
                if line.startswith("Loaded."):
                    break
                if "-ordain-" in line and not UNDERSTOOD.search(line):
                    said.append(line.strip())
            else:
                pytest.fail("systemd-networkd did not start")
            process.kill()
        return said

    return complaints


@Blocks
def test_networkd_ignores_nothing_without_a_warning(
    networkd: Callable[[dict[str, str]], list[str]], block: int
) -> None:
    for seed in seeds(block):
        files, problems = compiled(section(seed))
        read_by_networkd = {path: text for path, text in files.items() if path.endswith((".network", ".netdev"))}
        if read_by_networkd:
            lost = networkd(read_by_networkd)
            warned = any("ignores" in problem.what for problem in problems)
            assert warned or lost == [], f"draw {seed}"


REFUSED_BY_NETPLAN_ALONE = re.compile(
    "|".join(
        (
            "unknown key 'emit-lldp'",  # only of ethernets
            "unknown key 'infiniband-partitions'",  # a kind of our own
            "must include either a 'from' or 'to' IP",  # the kernel has rules for a mark alone
            "do not support matching by driver",
            "do not support ipv6-mtu",
        )
    )
)


@pytest.mark.parametrize("renderer", ["networkd", "NetworkManager"])
@Blocks
def test_a_section_that_netplan_refuses_is_refused(renderer: str, block: int) -> None:
    tree = network_roots.netplan()
    root = tree / "tmp" / f"draws-{os.getpid()}"
    for seed in seeds(block):
        drawn = section(seed)
        shutil.rmtree(root, ignore_errors=True)
        (root / "etc/netplan").mkdir(parents=True)
        document = root / "etc/netplan/x.yaml"
        document.touch(0o600)
        document.write_text(json.dumps({"network": {"version": 2, "renderer": renderer, **drawn}}))
        command = ["chroot", os.fspath(tree), "/usr/libexec/netplan/generate", "--root-dir", f"/tmp/{root.name}"]
        done = subprocess.run(command, capture_output=True, text=True, env=debian_roots.CLEAN_ENVIRONMENT)
        if done.returncode and not REFUSED_BY_NETPLAN_ALONE.search(done.stderr):
            assert refusals(compiled(drawn, renderer)[1]), f"draw {seed}: {done.stderr}"
    shutil.rmtree(root, ignore_errors=True)
