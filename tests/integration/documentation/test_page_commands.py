"""Blocks of commands of the how-to and reference pages, on a booted machine, as they are in the page.

They are the blocks with the comment ``run by: tests/integration/documentation/test_page_commands.py``, which
`support.pages.page_blocks` finds.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rig.machine import Machine
from rig.machine_agent import wait_agent_state
from support.pages.page_blocks import Block, blocks

pytestmark = [pytest.mark.integration, pytest.mark.one_debian]
TREE = Path(__file__).parents[3]
OWN = "tests/integration/documentation/test_page_commands.py"
WEB = "ordain: v1\nkind: Layer\nname: web\nservices: {web: {command: sleep 1000000}}\n"
STORE = """\
mkdir -p /srv/store
ordainctl() {
    case $1 in
        documents | release | store | fleet | query | secret) command ordainctl "$@" --store /srv/store ;;
        *) command ordainctl "$@" ;;
    esac
}
"""
"""The store of the page is a directory here."""
SETUP = {
    "boot-from-ram": """\
mkdir -p root base
(cd / && tar -cf - usr/lib/systemd usr/lib/*/systemd etc/os-release usr/lib/os-release) | tar -C root -xf -
sed 's/web/base/' web.yaml >base/base.yaml
""",
    "containers": """\
printf '[Container]\\nImage=docker.io/library/nginx:1.27\\nNetwork=web.network\\n' >web.container
printf '[Network]\\n' >web.network
docker() { echo '{services: {web: {image: nginx, container_name: web}}}'; }
""",
    "fleet-on-etcd": f"""\
{STORE}
command ordainctl documents put web.yaml --store /srv/store
sed -i 's/1000000/2000000/' web.yaml
""",
    "machine-identity": f"""\
{STORE}
echo web3 >/etc/hostname
command ordainctl fleet token --name web3 --store /srv/store >web3.token
""",
    "migrate": """\
printf '[Service]\\nExecStart=sleep 1000000\\n' >/etc/systemd/system/web.service
printf 'services: {web: {image: nginx}}' >docker-compose.yml
""",
    "network-changes": """\
ordainctl pause
sed 's/1000000/3000000/' web.yaml >/etc/ordain/documents/web.yaml
ssh() { shift; "$@"; }
""",
    "secrets": f"""\
{STORE.replace("/srv/store", "/srv/secrets")}
echo web3 >/etc/hostname
rm -f /etc/credstore*/ordain.*-key*
echo -n sesame >password
ordainctl fleet token --name web3 --label role=web >token
ordainctl fleet enroll --token-file token || ordainctl fleet approve --vouched
""",
    "signed-releases": f"""\
{STORE}
command ordainctl release keygen ops
command ordainctl release create web.yaml --number 1 --channel stable --key ops.key --store /srv/store
""",
    "dbus": "",
}
"""By page, the files and commands that a reader has, in bash."""
MARKED = [
    block
    for path in sorted((TREE / "docs").rglob("*.md"))
    for block in blocks(path, TREE)
    if (block.kind, block.reason) == ("run by", OWN)
]
ENDS_WELL = "trap 's=$?; case $s in 3 | 7) ;; *) echo \"exit status $s\" >&2; exit $s ;; esac' ERR\n"
"""Ordain's statuses 3 and 7 are answers, not failures (contract, rule 24)."""


def test_some_blocks_are_marked() -> None:
    assert {Path(block.page).stem for block in MARKED} == set(SETUP)


def test_the_blocks_of_the_pages_work(machine: Machine) -> None:
    machine.write("/etc/hosts", "127.0.0.1 localhost\n")
    machine.write("/etc/ordain/documents/web.yaml", WEB)
    machine.boot()
    wait_agent_state(machine, "converged")
    failed = {block.page: output for block in MARKED if (output := run(machine, block))}

    assert failed == {}


def run(machine: Machine, block: Block) -> str:
    """Run a block in a directory of its own after the set-up of its page, and return the output if it fails."""
    folder = f"/root/{Path(block.page).stem}-{block.line}"
    machine.write(f"{folder}/web.yaml", WEB)
    script = f"cd {folder}\n{SETUP[Path(block.page).stem]}\n{ENDS_WELL}set -E -o pipefail\n{block.text}\n"
    done = machine.run("bash", "-c", script, check=False)
    return "" if done.returncode in (0, 3, 7) else f"{done.stdout}{done.stderr}"
