"""The generator and the units of the boot on booted machines, with a stand-in for the agent or without an agent."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ordain.generator.cache import Cache, pack
from rig.machine import Machine, Machines

TREE = Path(__file__).parents[3]
pytestmark = pytest.mark.integration

UNITS = sorted(path.name for path in (TREE / "units").iterdir() if path.name != "ordain-agent.service")
CURRENT = "/etc/ordain/boot/current"
FALLBACK = "/etc/ordain/boot/fallback"
ATTEMPTS = "/etc/ordain/boot/attempts"

WEB = """\
[Unit]
Description=Web {number}
After=basic.target
IgnoreOnIsolate=yes
Conflicts=rescue.target emergency.target
[Service]
Type=exec
ExecStart=/bin/sleep infinity
"""
HANGS = """\
[Unit]
Description=Never done
Before=ordain-services.target
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart=/bin/sleep infinity
"""


def generation(number: int, **services: str) -> bytes:
    """Return a boot cache with web and more services, all wanted by ordain-services.target."""
    services = {"web": WEB.format(number=number), **services}
    entries: list[tuple[str, int, bytes | None, bytes | None]] = []
    for name, text in services.items():
        entries.append((f"normal/{name}.service", 0o644, text.encode(), None))
        link = f"../{name}.service".encode()
        entries.append((f"normal/ordain-services.target.wants/{name}.service", 0o777, None, link))
    return pack(Cache(number=number, hash=f"hash{number}", entries=entries))


@pytest.fixture
def machine(machines: Machines, suite: str) -> Machine:
    """Return a machine with the generator and its units where the package installs them, and without an agent."""
    return equipped(machines(suite, bare=True))


def equipped(machine: Machine) -> Machine:
    for source in (TREE / "generator").glob("*.py"):
        machine.write(f"/usr/lib/ordain/0.1.0/ordain/generator/{source.name}", source.read_bytes())
    for name in ("__init__", "artifacts", "forbidden_paths"):
        source = TREE / f"transforms/{name}.py"
        machine.write(f"/usr/lib/ordain/0.1.0/ordain/transforms/{name}.py", source.read_bytes())
    for name in ("ordain-files", "ordain-users"):
        machine.write(f"/usr/lib/ordain/{name}", (TREE / "generator" / name).read_bytes(), mode=0o755)
    stub = (TREE / "generator/ordain-generator").read_bytes()
    machine.write("/usr/lib/systemd/system-generators/ordain-generator", stub, mode=0o755)
    for name in UNITS:
        machine.write(f"/usr/lib/systemd/system/{name}", (TREE / "units" / name).read_bytes())
    machine.write("/etc/systemd/system/ordain-boot-good.timer.d/soon.conf", "[Timer]\nOnActiveSec=\nOnActiveSec=1s\n")
    enable(machine, *(name for name in UNITS if "[Install]" in (TREE / "units" / name).read_text()))
    return machine


def enable(machine: Machine, *units: str) -> None:
    subprocess.run(["systemctl", f"--root={machine.tree}", "--quiet", "enable", *units], check=True)


def record(machine: Machine) -> dict[str, str]:
    lines = machine.read("/run/ordain/boot/choice").splitlines()
    return dict(line.split("=", 1) for line in reversed(lines))


def active(machine: Machine, unit: str) -> str:
    return machine.show(unit, "ActiveState")["ActiveState"]


def wait_good(machine: Machine) -> None:
    machine.until("the boot is good", lambda: active(machine, "ordain-boot-good.service") == "active")


def test_services_start_without_an_agent(machine: Machine) -> None:
    machine.write(CURRENT, generation(1))

    machine.boot()
    wait_good(machine)

    assert active(machine, "web.service") == "active"
    assert machine.show("web.service", "FragmentPath")["FragmentPath"] == "/run/systemd/generator/web.service"
    assert machine.read("/run/ordain/takeover") == "fallback\n"
    assert record(machine)["from"] == "current"
    assert machine.run("systemctl", "--failed", "--plain", "--no-legend").stdout == ""
    assert active(machine, "ordain-boot-attempt.service") == "active"
    assert active(machine, "boot-complete.target") == "active"
    assert not machine.path(ATTEMPTS).exists()


def test_reloads_of_the_manager_change_no_state(machine: Machine) -> None:
    machine.write(CURRENT, generation(1))
    machine.boot()
    wait_good(machine)
    before = machine.show("web.service", "MainPID", "InvocationID", "FragmentPath", "LoadState")

    for _ in range(3):
        machine.run("systemctl", "daemon-reload")

    assert machine.show("web.service", "MainPID", "InvocationID", "FragmentPath", "LoadState") == before


def hang(machine: Machine) -> None:
    """Boot until a service of the documents hangs in its start, so that the boot does not complete."""
    machine.boot(wait=False)
    machine.until(
        "the hanging service starts",
        lambda: machine.path("/run/systemd/private").exists() and active(machine, "hangs.service") == "activating",
        timeout=60,
        brief=True,
    )


def test_incomplete_boots_lead_to_the_fallback_then_to_nothing_then_back_to_current(machine: Machine) -> None:
    machine.write(CURRENT, generation(2, hangs=HANGS))
    machine.write(FALLBACK, generation(1))
    for number in (1, 2, 3):
        hang(machine)
        # A reload runs the generator again; the attempt that this boot counted must not change its choice.
        machine.run("systemctl", "daemon-reload")
        assert record(machine)["from"] == "current"
        assert len(machine.read(ATTEMPTS).splitlines()) == number
        machine.power_cut()

    machine.options = ("--console=read-only",)
    for _ in range(2):  # twice: without an agent the fallback never becomes the current generation
        machine.boot()
        wait_good(machine)
        assert record(machine)["from"] == "fallback"
        assert "3 boots with generation 2 did not complete" in record(machine)["note"]
        assert "3 boots with generation 2 did not complete" in machine.console()
        assert "placed generation 1 from fallback" in machine.journal("--boot", "-t", "ordain-generator")
        assert machine.show("web.service", "Description")["Description"] == "Web 1"
        assert {line.split()[0] for line in machine.read(ATTEMPTS).splitlines()} == {"hash2"}
        machine.power_cut()

    machine.write(ATTEMPTS, "".join(f"hash{hash} boot{n}\n" for hash in (1, 2) for n in range(3)))
    machine.boot()
    assert record(machine)["from"] == "nothing"
    assert machine.read(ATTEMPTS).splitlines()[-1].startswith("nothing ")
    wait_good(machine)
    assert not machine.path(ATTEMPTS).exists(), "all generations may be tried again"


CHECK = """\
[Unit]
Before=boot-complete.target
[Service]
Type=oneshot
ExecStart=/bin/false
[Install]
RequiredBy=boot-complete.target
"""


def test_a_failed_boot_check_keeps_the_boot_from_being_good(machine: Machine) -> None:
    machine.write(CURRENT, generation(1))
    machine.write("/usr/lib/systemd/system/check.service", CHECK)
    enable(machine, "check.service")

    machine.boot()
    machine.until("the check has failed", lambda: active(machine, "check.service") == "failed")

    assert active(machine, "boot-complete.target") == "inactive"
    assert active(machine, "ordain-boot-good.service") == "inactive"
    assert len(machine.read(ATTEMPTS).splitlines()) == 1


@pytest.mark.one_debian
def test_a_damaged_cache_leads_to_the_fallback_with_a_reason(machine: Machine) -> None:
    machine.write(CURRENT, generation(2)[:-5])
    machine.write(FALLBACK, generation(1))

    machine.boot()
    wait_good(machine)

    assert machine.show("web.service", "Description")["Description"] == "Web 1"
    assert "DamagedCache" in record(machine)["note"]


def test_a_failed_service_does_not_make_the_boot_bad(machine: Machine) -> None:
    machine.write(CURRENT, generation(1, broken="[Service]\nExecStart=/bin/false\n"))
    machine.path("/etc/systemd/system/ordain-boot-good.timer.d/soon.conf").unlink()

    machine.boot()

    timer = machine.show("ordain-boot-good.timer", "ActiveState", "TimersMonotonic")
    assert timer["ActiveState"] == "active"
    assert "OnActiveUSec=2min" in timer["TimersMonotonic"]
    assert active(machine, "broken.service") == "failed"
    assert len(machine.read(ATTEMPTS).splitlines()) == 1, "a crash right after the boot still counts as an attempt"


@pytest.mark.one_debian
def test_ordain_off_places_nothing_and_counts_no_attempt(machines: Machines, suite: str) -> None:
    machine = equipped(machines(suite, bare=True, cmdline=("ordain=off",)))
    machine.write(CURRENT, generation(1))

    machine.boot()

    assert machine.show("web.service", "LoadState")["LoadState"] == "not-found"
    assert active(machine, "ordain-services.target") == "inactive"
    assert record(machine)["from"] == "off"
    assert not machine.path(ATTEMPTS).exists()


READ_ONLY = """\
[Unit]
DefaultDependencies=no
Before=ordain-boot-attempt.service local-fs-pre.target
[Service]
Type=oneshot
ExecStart=/bin/mount --bind /etc /etc
ExecStart=/bin/mount -o remount,ro,bind /etc
[Install]
WantedBy=sysinit.target
"""


def test_no_unit_fails_on_a_read_only_etc(machine: Machine) -> None:
    machine.write(CURRENT, generation(1))
    machine.write("/usr/lib/systemd/system/read-only.service", READ_ONLY)
    enable(machine, "read-only.service")

    machine.boot()
    machine.until("web runs", lambda: active(machine, "web.service") == "active")

    failed = machine.run("systemctl", "--failed", "--plain", "--no-legend").stdout
    assert "ordain" not in failed
    assert machine.show("ordain-boot-attempt.service", "ConditionResult")["ConditionResult"] == "no"


AGENT = """\
[Unit]
After=basic.target
[Service]
Type=notify
TimeoutStartSec=2s
Restart=on-failure
RestartSec=30s
ExecStart={command}
[Install]
WantedBy=multi-user.target
"""
TAKES_OVER = (
    "/bin/sh -c 'echo agent started >/run/ordain/takeover; systemctl start --no-block ordain-services.target;"
    " systemd-notify --ready; exec sleep infinity'"
)


@pytest.mark.parametrize(
    ("command", "takeover"),
    [
        pytest.param(TAKES_OVER, "agent started\n", id="works"),
        pytest.param("/bin/sleep infinity", "fallback\n", id="hangs"),
        pytest.param("/bin/false", "fallback\n", id="crashes"),
    ],
)
def test_the_fallback_starts_the_services_when_the_agent_does_not(
    machine: Machine, command: str, takeover: str
) -> None:
    machine.write(CURRENT, generation(1))
    machine.write("/usr/lib/systemd/system/ordain-agent.service", AGENT.format(command=command))
    enable(machine, "ordain-agent.service")

    machine.boot(wait=False)
    machine.until(
        "web runs",
        lambda: machine.path("/run/systemd/private").exists() and active(machine, "web.service") == "active",
    )

    assert machine.read("/run/ordain/takeover") == takeover


def test_isolating_touches_no_service_except_for_rescue(machine: Machine) -> None:
    machine.write(CURRENT, generation(1))
    machine.boot()
    wait_good(machine)
    before = machine.show("web.service", "MainPID")

    machine.run("systemctl", "isolate", "multi-user.target")
    assert machine.show("web.service", "MainPID") == before
    assert active(machine, "ordain-services.target") == "active"

    machine.run("systemctl", "start", "--no-block", "rescue.target")
    machine.until("the target stops", lambda: active(machine, "ordain-services.target") == "inactive")
    machine.until("web stops", lambda: active(machine, "web.service") == "inactive")

    machine.until("the takeover is forgotten", lambda: not machine.path("/run/ordain/takeover").exists())
    machine.run("systemctl", "--no-block", "default")
    machine.until("web runs again", lambda: active(machine, "web.service") == "active")


def test_services_start_again_after_a_soft_reboot(machines: Machines) -> None:
    machine = equipped(machines("trixie", bare=True))
    machine.write(CURRENT, generation(1))
    machine.boot()
    wait_good(machine)
    before = machine.show("web.service", "InvocationID")

    machine.run("systemctl", "soft-reboot")

    def again() -> bool:
        state = machine.run(
            "systemctl", "show", "--property=InvocationID,ActiveState", "web.service", check=False
        ).stdout
        return "ActiveState=active" in state and before["InvocationID"] not in state

    machine.until("web runs again", again)
    assert machine.read("/run/ordain/takeover") == "fallback\n"
