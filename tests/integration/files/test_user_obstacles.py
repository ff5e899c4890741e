"""Users who get in the way of files, on booted machines: a condition with the user's name, and the rest is applied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rig.machine import Machine
from rig.machine_agent import DOCUMENTS, agent_status, wait_agent_state

pytestmark = [pytest.mark.integration, pytest.mark.one_debian]

SSH = "/home/alice/.ssh"
KEYS = f"{SSH}/authorized_keys"
LEASE = """
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, lambda *_: None)  # the kernel asks for the lease back, and gets no answer
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
while True:
    signal.pause()
"""
OBSTACLES = {
    "a link at the directory": f"mv {SSH} {SSH}.real; ln -s /tmp {SSH}",
    "a FIFO at the directory": f"mv {SSH} {SSH}.real; mkfifo {SSH}",
    "a file at the directory": f"mv {SSH} {SSH}.real; touch {SSH}",
    "a directory at the file": f"rm {KEYS}; mkdir {KEYS}; touch {KEYS}/x",
    "a sparse file": f"truncate --size=8T {KEYS}",
    "a large file": f"head -c 70000000 /dev/zero >{KEYS}",
}
"""The obstacles that alice puts into her home, as scripts of the shell."""


def documents(key: str, motd: str) -> str:
    return (
        "ordain: v1\nkind: Layer\nname: base\n"
        f"users: {{alice: {{uid: 2001, keys: ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{key * 43} alice']}}}}\n"
        f"files: {{/etc/motd: {{content: '{motd}'}}}}\n"
    )


def as_alice(machine: Machine, script: str) -> None:
    machine.run("setpriv", "--reuid=alice", "--regid=alice", "--init-groups", "sh", "-ec", script)


def change(machine: Machine, key: str, motd: str) -> None:
    """Change a file of alice and another one, and wait until the other one is placed."""
    machine.write(f"{DOCUMENTS}/base.yaml", documents(key, motd))
    machine.until("the other file is placed", lambda: machine.read("/etc/motd") == motd)
    machine.until("the apply has ended", lambda: agent_status(machine)["state"] not in ("applying", "starting"))


def blame(machine: Machine) -> str:
    """Return the conditions; fail if anything was rolled back."""
    status = agent_status(machine)
    assert status["state"] == "degraded", status["conditions"]
    assert not [row for row in status["conditions"] if row["code"].startswith("Roll")]
    assert machine.run("ordainctl", "history", check=False).stdout.count("rolled back") == 0
    return "; ".join(f"{row['code']} {row['what']}" for row in status["conditions"])


def boot(machine: Machine) -> None:
    machine.write(f"{DOCUMENTS}/base.yaml", documents("A", "0"))
    machine.boot()
    wait_agent_state(machine, "converged")
    assert machine.path(KEYS).is_file()


@contextmanager
def obstacle(machine: Machine, script: str) -> Iterator[None]:
    as_alice(machine, script)
    yield
    as_alice(machine, f"rm -rf {KEYS}; [ ! -e {SSH}.real ] || {{ rm -rf {SSH}; mv {SSH}.real {SSH}; }}")


def test_obstacles_of_a_user_are_conditions_and_the_rest_is_applied(machine: Machine) -> None:
    boot(machine)
    for number, (name, script) in enumerate(OBSTACLES.items(), 1):
        with obstacle(machine, script):
            change(machine, chr(ord("A") + number), str(number))
            told = blame(machine)
            assert "FileNotPlaced" in told, name
            assert f"{KEYS} could not be placed" in told, name
            assert "user alice" in told, name
        machine.run("ordainctl", "apply")
        wait_agent_state(machine, "converged")
        assert chr(ord("A") + number) * 43 in machine.read(KEYS), name


def test_a_lease_of_a_user_delays_nobody(machine: Machine) -> None:
    boot(machine)
    machine.write("/usr/local/lib/lease.py", LEASE)
    machine.run("systemd-run", "--quiet", "--unit=lease", "--uid=alice", "python3", "/usr/local/lib/lease.py", KEYS)
    machine.until("alice has the lease", lambda: "held" in machine.journal("--unit=lease.service"))

    change(machine, "B", "1")

    assert agent_status(machine)["state"] in ("converged", "degraded")
    if agent_status(machine)["state"] == "degraded":
        assert "user alice" in blame(machine)
    machine.run("systemctl", "stop", "lease.service")
    machine.run("ordainctl", "apply")
    wait_agent_state(machine, "converged")
    assert "B" * 43 in machine.read(KEYS)


def test_a_full_home_is_a_condition_with_the_name_of_the_user(machine: Machine) -> None:
    boot(machine)
    machine.run("mount", "-t", "tmpfs", "-o", "size=64k,mode=700,uid=2001,gid=2001", "tmpfs", SSH)
    as_alice(machine, f"cat /dev/zero >{SSH}/filler || true")

    change(machine, "B", "1")

    told = blame(machine)
    assert f"{KEYS} could not be placed: No space left on device" in told
    assert "user alice" in told
    machine.run("rm", f"{SSH}/filler")
    machine.run("ordainctl", "apply")
    wait_agent_state(machine, "converged")


def test_a_user_neither_escapes_a_lock_nor_stops_a_change_of_their_account(machine: Machine) -> None:
    """alice has a line end of Unicode in her own name, and a process, because of which usermod may refuse a change."""
    boot(machine)
    machine.run("chpasswd", stdin="alice:sesame\n")
    as_alice(machine, "echo sesame | chfn --room $(printf 'x\\342\\200\\250root')")
    assert "\u2028" in machine.read("/etc/passwd")
    machine.run("systemd-run", "--quiet", "--unit=busy", "--uid=alice", "sleep", "infinity")

    def alice(words: str, motd: str) -> None:
        text = f"ordain: v1\nkind: Layer\nname: base\nusers: {{alice: {{uid: 2001, {words}}}}}\n"
        machine.write(f"{DOCUMENTS}/base.yaml", f"{text}files: {{/etc/motd: {{content: '{motd}'}}}}\n")
        machine.until("the other file is placed", lambda: machine.read("/etc/motd") == motd)
        machine.until("the apply has ended", lambda: agent_status(machine)["state"] not in ("applying", "starting"))

    alice("home: /srv/alice", "1")
    assert machine.run("getent", "passwd", "alice").stdout.split(":")[5] == "/srv/alice"
    alice("shell: /usr/sbin/nologin", "2")
    assert machine.run("getent", "passwd", "alice").stdout.strip().endswith(":/usr/sbin/nologin")
    alice("state: absent", "3")
    assert machine.run("getent", "shadow", "alice").stdout.split(":")[7] == "1"


def test_a_directory_that_users_share_is_refused(machine: Machine) -> None:
    """alice's directory holds one of bob, and a file of root is to be placed below it."""
    boot(machine)
    machine.run("useradd", "bob")
    machine.run("sh", "-ec", "mkdir -p /srv/a/b; chown alice /srv/a; chown bob /srv/a/b")
    text = documents("A", "1").replace("files: {", "files: {/srv/a/b/c: {content: x, owner: bob}, ")
    machine.write(f"{DOCUMENTS}/base.yaml", text)
    machine.until("the other file is placed", lambda: machine.read("/etc/motd") == "1")
    machine.until("the apply has ended", lambda: agent_status(machine)["state"] not in ("applying", "starting"))

    told = blame(machine)
    assert "different users" in told
    assert "user alice" in told
    assert not machine.path("/srv/a/b/c").exists()

    # A file that cannot be removed is in the status, in the plan and in the outcome of an apply, until it is gone.
    machine.run("chown", "root", SSH)
    machine.write(f"{DOCUMENTS}/base.yaml", "ordain: v1\nkind: Layer\nname: base\nfiles: {/etc/motd: {content: '2'}}\n")
    machine.until("the other file is placed", lambda: machine.read("/etc/motd") == "2")
    machine.until("the apply has ended", lambda: agent_status(machine)["state"] not in ("applying", "starting"))
    assert f"{KEYS} could not be removed" in blame(machine)
    assert machine.run("ordainctl", "plan", "--exit-code", check=False).returncode == 7
    again = machine.run("ordainctl", "apply", check=False)
    assert (again.returncode, "could not be removed" in again.stdout) == (3, True), again.stdout
    machine.run("chown", "alice", SSH)
    machine.run("ordainctl", "apply")
    wait_agent_state(machine, "converged")
    assert not machine.path(KEYS).exists()
    assert machine.run("ordainctl", "plan", "--exit-code").returncode == 0
