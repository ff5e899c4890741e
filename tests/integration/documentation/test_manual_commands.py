"""The commands that the manual pages show, on a booted machine: of the daemons, and each example of ordainctl(1)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ordain.agent.cli.commands.all_commands import COMMANDS
from rig.debian_roots import SUITES
from rig.machine import Machine, Machines
from rig.machine_agent import wait_agent_state

pytestmark = [pytest.mark.integration, pytest.mark.one_debian]
MANUAL = Path(__file__).parents[3] / "docs/man"
GENERATOR = "/usr/lib/systemd/system-generators/ordain-generator"
LAYER = "ordain: v1\nkind: Layer\nname: nap\nservices: {nap: {command: [/usr/bin/sleep, infinity]}}\n"


RUN_BY_PAGE = frozenset(("docs/man/ordainctl.1.rst", "docs/man/ordain-generator.8.rst"))
"""The pages of which every block is run here."""
_STORES = "it needs a store with machines; tests/agent/cli/test_ordainctl_store.py runs it on one"
_RELEASES = "it needs keys and a store; tests/agent/cli/test_ordainctl_release.py and the how-to page run it"
_IMAGES = "it needs images that a boot server has; the tests of netboot make some"
_SECRETS = "it needs a store with machines; tests/agent/cli/test_ordainctl_secret.py and the how-to page run it"
_RUNS = "it needs a batch system; the tests of runs have an invented one"
NOT_RUN = {
    "watch": "it runs until it is interrupted, and tests/agent/cli has its output",
    "confirm": "it needs a trial, which tests/integration/apply/test_rollback.py has",
    "serve": "it serves until it is interrupted, and tests/agent/server has a server",
    "test": "it needs no machine; tests/agent/cli/documents/test_document_tests.py runs its examples",
    "documents edit": "it needs an editor on a terminal, which tests/agent/cli has",
    **{name: _STORES for name in COMMANDS if name.partition(" ")[0] in ("store", "fleet", "query")},
    **{name: _RELEASES for name in COMMANDS if name.startswith("release ")},
    **{name: _IMAGES for name in COMMANDS if name.startswith("netboot ")},
    **{name: _SECRETS for name in COMMANDS if name.startswith("secret ") and name != "secret key"},
    **{name: _RUNS for name in COMMANDS if name.startswith("run ")},
}
"""By command, the reason why its examples are not run here."""
NOT_RUN_EXAMPLES = {
    "ordainctl image root --netboot /srv/netboot": "the root of this test has no kernel; the tests of netboot make one",
    "ordainctl documents list --store etcd+https://a:2379/ordain/": _STORES,
    'ordainctl documents put web.yaml --why "more memory for the sale"': "a directory keeps no reasons",
    "ordainctl documents history web": "a directory keeps no earlier versions",
    "ordainctl documents get web --version 17 >web.yaml": "a directory keeps no earlier versions",
    "ordainctl hold --unmask cups": "it needs documents that mask a unit of the distribution",
}
"""By example, the reason why it is not run here, although others of its command are."""
WEB = "ordain: v1\nkind: Layer\nname: web\nservices: {web: {command: sleep 1000000, limits: {memory: 64M}}}\n"
EXAMPLE_FILES = f"""\
mkdir -p /root/work/documents /root/work/root && cd /root/work
cat >web.yaml <<'END'
{WEB}END
cp web.yaml documents/
sed 's/web/base/' web.yaml >base.yaml
(cd / && tar -cf - usr/lib/systemd usr/lib/*/systemd etc/os-release usr/lib/os-release) | tar -C root -xf -
cp -a root/. /mnt
printf '[Service]\\nExecStart=sleep 1\\n' >/etc/systemd/system/other.service
printf 'services: {{web: {{image: nginx}}}}' >docker-compose.yml
touch /etc/ordain/agent.yaml
"""
"""The files that the examples name, below /root/work."""


def example(page: str, intention: str) -> str:
    """Return the commands that a page shows below the words ``intention``."""
    block = re.search(
        rf"^{re.escape(intention)}[^\n]*::\n\n((?:    [^\n]+\n)+)", (MANUAL / page).read_text(), re.MULTILINE
    )
    assert block, f"{page} shows no commands for: {intention}"
    return block[1]


def placed(machine: Machine) -> bool:
    return machine.path("/run/systemd/generator/nap.service").exists()


@pytest.mark.parametrize("suite", SUITES)
def test_commands_of_the_manual_pages_work(machines: Machines, suite: str) -> None:
    machine = machines(suite)
    machine.write("/etc/ordain/documents/nap.yaml", LAYER)
    machine.boot()
    machine.until("the first generation is applied", lambda: machine.path("/etc/ordain/boot/1").exists())
    assert placed(machine)

    (log,) = set(re.findall(r"\*\*(journalctl -b [^*]+)\*\*", (MANUAL / "ordain-agent.8.rst").read_text()))
    machine.write("/etc/ordain/documents/nap.yaml", LAYER.replace("infinity", "1h"))
    machine.until("the agent logs the change", lambda: "generation 2" in machine.run("sh", "-ec", log).stdout)

    machine.run("sh", "-ec", example("ordain-generator.8.rst", "Write the units that would be placed now"))
    assert "[Service]" in machine.run("cat", "/tmp/units/nap.service").stdout

    machine.run("sh", "-ec", example("ordain-generator.8.rst", "Turn the generator off"))
    machine.run("systemctl", "daemon-reload")
    assert not placed(machine)
    assert (
        f"{GENERATOR.replace('/usr/lib', '/etc')} overrides it"
        in machine.run("ordainctl", "doctor", check=False).stdout
    )


def test_the_examples_of_ordainctl_work(machine: Machine) -> None:
    machine.write("/etc/hosts", "127.0.0.1 localhost\n")
    machine.write("/etc/ordain/documents/web.yaml", WEB)
    machine.boot()
    wait_agent_state(machine, "converged")
    machine.run("bash", "-ec", EXAMPLE_FILES)
    for number in (2, 3, 4, 5, 6, 7, 8):
        machine.write("/etc/ordain/documents/web.yaml", WEB.replace("64M", f"{64 + number}M"))
        machine.until(f"generation {number}", lambda n=number: machine.path(f"/etc/ordain/boot/{n}").exists())  # type: ignore[misc]
    failed = {}
    for name, command in COMMANDS.items():
        for words, _ in command.examples if name not in NOT_RUN else ():
            if words in NOT_RUN_EXAMPLES:
                continue
            words = words.replace("/etc/systemd/system/web.service", "/etc/systemd/system/other.service")
            done = machine.run("bash", "-o", "pipefail", "-c", f"cd /root/work; {words}", check=False)
            if done.returncode not in (0, 3, 7) or "Traceback" in done.stderr:
                failed[words] = f"{done.returncode}: {done.stdout}{done.stderr}"

    assert failed == {}
