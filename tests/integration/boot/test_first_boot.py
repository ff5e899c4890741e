"""Documents that are handed over with the boot, and boots with documents but without a generation."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from ordain.agent.compile.compiler import compile_texts
from ordain.agent.compile.executor import run_inline
from ordain.agent.compile.image import bake
from ordain.agent.model import Generation
from ordain.agent.server.prebuilt_caches import PrebuiltCaches
from ordain.generator.cache import unpack
from rig.machine import Machine, Machines
from rig.stores.boot_server import running_boot_server

pytestmark = pytest.mark.integration

HANDED = "/run/ordain/boot/handed"
HANDOVER = Path(__file__).parents[3] / "packaging/initrd/handover"
WEB = {
    "ordain": "v1",
    "kind": "Layer",
    "name": "web",
    "services": {
        "web": {"command": ["/bin/sleep", "infinity"], "description": "of the hypervisor"},
        "cron": {"nice": 5},
        "boot": {"command": ["/bin/true"], "type": "oneshot", "remain": True, "phase": "early"},
    },
    "files": {"/etc/web.conf": {"content": "of the hypervisor\n"}},
}
AGENT_IS_LATE = "[Service]\nExecStartPre=/bin/sh -c 'until [ -e /run/go ]; do sleep 0.1; done'\n"


def credential(document: object) -> tuple[str, ...]:
    text = json.dumps(document).replace("\\", "\\\\")  # systemd-nspawn unescapes it
    return (f"--set-credential=ordain.document:{text}",)


def record(machine: Machine) -> dict[str, str]:
    lines = machine.read("/run/ordain/boot/choice").splitlines()
    return dict(line.split("=", 1) for line in reversed(lines))


def number(machine: Machine) -> int:
    status = machine.run("ordainctl", "status", "--json", check=False).stdout
    return int(json.loads(status)["generation"]) if status else 0


def wait_followed(machine: Machine) -> None:
    """Wait for the first apply; its outcome is the last file that it writes."""
    machine.until("the agent has applied it", lambda: machine.path("/run/ordain/outcome.json").exists())


def test_a_document_of_the_hypervisor_takes_effect_before_the_agent_starts(machine: Machine) -> None:
    machine.options = credential(WEB)
    machine.write("/etc/systemd/system/ordain-agent.service.d/late.conf", AGENT_IS_LATE)

    machine.boot(wait=False)
    machine.until("the early service has run", lambda: machine.path("/run/systemd/private").exists()
        and machine.show("boot.service", "ActiveState")["ActiveState"] == "active")  # fmt: skip
    assert record(machine)["from"] == "handed"
    assert machine.show("cron.service", "Nice")["Nice"] == "5"
    machine.until("its file is placed", lambda: machine.path("/etc/web.conf").exists())
    early = machine.show("boot.service", "InvocationID")

    machine.write("/run/go", "")
    wait_followed(machine)

    handed = unpack(machine.path(HANDED).read_bytes())
    proven = unpack(machine.path("/etc/ordain/boot/current").read_bytes())
    assert (handed.hash, handed.entries, handed.files) == (proven.hash, proven.entries, proven.files)
    assert (handed.number, proven.number) == (0, 1)
    assert machine.show("boot.service", "InvocationID") == early, "the agent started nothing again"
    assert machine.show("web.service", "ActiveState")["ActiveState"] == "active"
    assert "/run/credentials/@system/ordain.document:1" in machine.read("/run/systemd/generator/web.service")
    assert number(machine) == 1


def test_nothing_is_restarted_or_reloaded_when_the_agent_starts(machine: Machine) -> None:
    machine.options = credential(WEB)
    machine.boot()
    wait_followed(machine)

    plan = json.loads(machine.read("/run/ordain/outcome.json"))["plan"]
    assert (plan["stops"], plan["jobs"], plan["reload"], plan["files"]) == ([], [], False, [])
    assert "from handed: " in machine.run("ordainctl", "doctor", check=False).stdout


@pytest.mark.one_debian
def test_the_next_boot_uses_the_proven_generation_and_the_agent_follows_the_new_document(machine: Machine) -> None:
    machine.options = credential(WEB)
    machine.boot()
    wait_followed(machine)
    machine.poweroff()

    machine.options = credential({**WEB, "services": {"web": {"command": ["/bin/sleep", "1000"]}}})
    machine.boot()
    assert record(machine)["from"] == "current"
    machine.until("it is followed", lambda: "1000" in machine.run("systemctl", "cat", "web.service").stdout)
    machine.until("it runs", lambda: number(machine) == 2)


@pytest.mark.one_debian
def test_a_machine_compiles_the_same_generation_as_its_host(machine: Machine) -> None:
    """The generations are equal byte for byte, although another Python compiles on the host."""
    machine.write("/etc/ordain/documents/web.json", json.dumps(WEB))
    machine.boot()
    wait_followed(machine)

    texts = [("/etc/ordain/documents/web.json", json.dumps(WEB).encode())]
    here, _ = compile_texts(texts, Path(machine.tree), Generation())
    assert unpack(machine.path(HANDED).read_bytes()).hash == here.hash
    # The machine uses the database that was prepared when its package was built; the host reads the YAML files.
    code = (
        "import sys; from ordain.transforms.catalog import shipped; shipped.shipped(); print('yaml' in sys.modules);"
        "print(shipped.shipped() == shipped.read_all(shipped.files()))"
    )
    assert machine.run("/usr/bin/python3", "-c", code).stdout == "False\nTrue\n"


@pytest.mark.one_debian
def test_a_broken_document_is_reported_and_the_machine_boots(machine: Machine) -> None:
    machine.options = credential({**WEB, "servces": {}})

    machine.boot()

    assert record(machine)["from"] == "nothing"
    notes = [line for line in machine.read("/run/ordain/boot/choice").splitlines() if line.startswith("note=")]
    assert any("servces" in note for note in notes), notes
    assert machine.run("systemctl", "is-active", "basic.target").stdout == "active\n"
    assert "servces" in machine.run("ordainctl", "status", check=False).stdout


def test_a_generation_baked_into_an_image_boots_and_is_adopted_by_the_agent(machine: Machine) -> None:
    baked = bake(machine.tree, [("web.json", json.dumps(WEB).encode())])
    assert "/usr/lib/ordain/boot/baseline" in baked.written

    machine.boot()
    assert record(machine)["from"] == "baseline"
    wait_followed(machine)

    assert unpack(machine.path("/etc/ordain/boot/current").read_bytes()).hash == baked.generation.hash
    plan = json.loads(machine.read("/run/ordain/outcome.json"))["plan"]
    assert (plan["stops"], plan["jobs"], plan["reload"]) == ([], [], False)


@pytest.mark.one_debian
def test_documents_of_the_boot_stay_in_force_until_the_boot_server_answers(machines: Machines, suite: str) -> None:
    machine = machines(suite, cmdline=("ordain.source=http://127.0.0.1:9/web.yaml",))
    machine.options = credential(WEB)

    machine.boot()
    assert record(machine)["from"] == "handed"
    wait_followed(machine)

    assert machine.show("web.service", "ActiveState")["ActiveState"] == "active"
    source = json.loads(machine.run("ordainctl", "status", "--json").stdout)["source"]
    assert source["location"] == "the documents of the boot, until http://127.0.0.1:9/web.yaml answers"


def test_a_prebuilt_cache_handed_over_with_the_boot_is_placed_unchanged(machine: Machine) -> None:
    document = ("web.json", json.dumps(WEB).encode())
    baked = bake(machine.tree, [document])
    prebuilt = machine.home / "prebuilt"
    shutil.move(machine.path("/usr/lib/ordain/boot/baseline"), prebuilt)
    machine.options = (f"--bind-ro={prebuilt}:{HANDED}",)

    machine.boot()
    choice = record(machine)
    assert (choice["from"], choice["hash"]) == ("handed", baked.generation.hash)
    wait_followed(machine)
    assert machine.show("web.service", "ActiveState")["ActiveState"] == "active"


@pytest.mark.one_debian
def test_a_cache_prebuilt_by_the_boot_server_leaves_the_agent_nothing_to_do(machine: Machine) -> None:
    """The script of the initrd asks the server, which has the same root; later the agent asks the same server."""
    folder, home = machine.path("/srv/documents"), machine.home / "initrd"
    machine.write("/srv/documents/web.json", json.dumps(WEB))
    machine.write("/etc/ordain/agent.yaml", "trust: open\n")
    machine.write("/etc/systemd/system/ordain-agent.service.d/late.conf", AGENT_IS_LATE)

    async def initrd() -> int:
        async with running_boot_server(folder, PrebuiltCaches(machine.tree, run_inline), seconds=60) as (_, url):
            home.mkdir()
            machine.cmdline = (f"ordain.source={url}/{{hostname}}.yaml",)
            (home / "cmdline").write_text(f"quiet {machine.cmdline[0]}\n")
            ours = f"ordain_run={home}/run ordain_cmdline={home}/cmdline; ordain_network() {{ :; }}"
            code = f"{ours}; . {HANDOVER}; ordain_handover {machine.tree}"
            process = await asyncio.create_subprocess_exec("sh", "-c", code)
            assert await process.wait() == 0
            return int(url.rpartition(":")[2])

    port = asyncio.run(initrd())
    prebuilt = unpack((home / "run/boot/handed").read_bytes())
    machine.options = tuple(
        f"--bind-ro={home}/run/{name}:/run/ordain/{name}" for name in ("boot/handed", "documents/source.yaml")
    )
    machine.boot(wait=False)
    machine.until("PID 1 answers", lambda: machine.path("/run/systemd/private").exists())
    machine.until(
        "the early service has run", lambda: machine.show("boot.service", "ActiveState")["ActiveState"] == "active"
    )
    choice = record(machine)
    assert (choice["from"], choice["hash"]) == ("handed", prebuilt.hash)
    assert f"# http://127.0.0.1:{port}/web.json:1 " in machine.read("/run/systemd/generator/web.service")

    command = ("ordainctl", "serve", "/srv/documents", "--listen", f"127.0.0.1:{port}")
    machine.run("systemd-run", "--unit=server", "--service-type=exec", "--quiet", *command)
    machine.write("/run/go", "")
    wait_followed(machine)
    machine.until("the server is followed", lambda: "connected" in machine.journal("-uordain-source.service"))
    machine.run("ordainctl", "apply")

    outcome = json.loads(machine.read("/run/ordain/outcome.json"))
    assert (outcome["plan"]["stops"], outcome["plan"]["jobs"], outcome["plan"]["reload"]) == ([], [], False)
    assert unpack(machine.path("/etc/ordain/boot/current").read_bytes()).hash == prebuilt.hash
    assert json.loads(machine.run("ordainctl", "status", "--json").stdout)["source"]["connected"]
    assert number(machine) == 1
    assert "# from web.json:1" in machine.read("/run/ordain-source/handover")
