"""Files of the documents on booted machines: placed before their readers start, and checked before a reload."""

from __future__ import annotations

import pytest

from rig.machine import Machine
from rig.machine_agent import agent_status, wait_agent_state

pytestmark = [pytest.mark.integration, pytest.mark.one_debian]

DOCUMENT = "/etc/ordain/documents/machine.yaml"
HEAD = "ordain: v1\nkind: Layer\nname: machine\n"
SITE = """\
services:
  nginx:
    state: running
    files:
      site.conf:
        template: |
          server {{ "{" }} listen 127.0.0.1:{{ values.port }}; return 200 "first"; {{ "}" }}
"""


def write(machine: Machine, text: str, *, port: int = 8081) -> None:
    machine.write(DOCUMENT, f"{HEAD}values: {{port: {port}}}\n{text}")


def apply(machine: Machine) -> tuple[int, str]:
    done = machine.run("ordainctl", "apply", check=False)
    return done.returncode, done.stdout + done.stderr


def converged(machine: Machine) -> None:
    machine.run("ordainctl", "apply", check=False)


def fetch(machine: Machine, port: int) -> str:
    return machine.run("curl", "-sS", f"http://127.0.0.1:{port}/", check=False).stdout


def test_files_are_placed_before_their_readers_start_at_every_boot(machine: Machine) -> None:
    write(
        machine,
        SITE
        + """\
  reads: {command: [/bin/cp, /etc/app/a.conf, /var/seen], type: oneshot}
files:
  /etc/app/a.conf: {content: "a\\n", mode: "0640", group: www}
  /run/early/b: {content: "b\\n"}
  /etc/app/data: {directory: true, owner: www, mode: "0750"}
  /etc/app/link: {link: /etc/hostname}
  /etc/app/gone: {state: absent}
""",
    )
    machine.write("/etc/app/gone", "still here\n")
    machine.boot()
    converged(machine)
    machine.power_cut()
    machine.path("/var/seen").unlink()
    machine.path("/etc/app/a.conf").unlink()

    machine.boot()

    machine.until("the file was read", lambda: machine.path("/var/seen").exists())
    assert machine.read("/var/seen") == "a\n"
    assert machine.read("/run/early/b") == "b\n"
    stat = machine.run("stat", "-c", "%a %U %G", "/etc/app/a.conf", "/etc/app/data").stdout
    assert stat == "640 root www-data\n750 www-data root\n"
    assert machine.run("readlink", "/etc/app/link").stdout == "/etc/hostname\n"
    assert not machine.path("/etc/app/gone").exists()
    machine.until("nginx answers", lambda: fetch(machine, 8081) == "first")
    assert machine.run("systemctl", "--failed", "--plain", "--no-legend").stdout == ""


def test_a_change_reloads_its_reader_and_a_failed_check_changes_nothing(machine: Machine) -> None:
    write(machine, SITE)
    machine.boot()
    converged(machine)
    machine.until("nginx answers", lambda: fetch(machine, 8081) == "first")
    process = machine.show("nginx.service", "MainPID")
    path = "/etc/nginx/conf.d/site.conf"

    write(machine, SITE, port=8082)
    status, text = apply(machine)

    assert status == 0, text
    machine.until("nginx listens on the new port", lambda: fetch(machine, 8082) == "first")
    assert machine.show("nginx.service", "MainPID") == process, "nginx was reloaded, not restarted"
    reloads = machine.journal("-u", "nginx.service").count("Reloaded")

    good = machine.read(path)
    write(machine, SITE.replace("return 200", "retrun 200"), port=8083)
    status, text = apply(machine)

    assert status == 4, text
    assert "retrun" in text, "the message of nginx is reported"
    assert machine.read(path) == good
    assert machine.journal("-u", "nginx.service").count("Reloaded") == reloads, "nginx was not reloaded"
    assert machine.show("nginx.service", "MainPID") == process
    assert fetch(machine, 8082) == "first"


def test_a_file_removed_from_the_documents_gets_its_previous_content_back(machine: Machine) -> None:
    machine.write("/etc/motd", "the distribution's\n", mode=0o600)
    ours = (
        "/etc/motd: {content: ours}",
        "/etc/new/file: {content: ours}",
        "/etc/kept: {content: ours, on-remove: keep}",
    )
    write(machine, f"files: {{{', '.join(ours)}}}\n")
    machine.boot()
    converged(machine)
    assert [machine.read(path) for path in ("/etc/motd", "/etc/new/file", "/etc/kept")] == ["ours"] * 3

    write(machine, "")
    status, text = apply(machine)

    assert status == 0, text
    assert machine.read("/etc/motd") == "the distribution's\n"
    assert machine.run("stat", "-c", "%a", "/etc/motd").stdout == "600\n"
    assert not machine.path("/etc/new").exists()
    assert machine.read("/etc/kept") == "ours"


def test_a_file_that_cannot_be_placed_rolls_the_apply_back(machine: Machine) -> None:
    write(machine, "files: {/etc/a: {content: first}}\n")
    machine.boot()
    converged(machine)
    machine.run("ln", "-s", "/etc", "/srv/link")

    write(machine, "files: {/etc/a: {content: second}, /srv/link/b: {content: no}}\n")
    status, text = apply(machine)

    assert status == 4, text
    assert "links are not followed" in text
    assert machine.read("/etc/a") == "first"
    assert not machine.path("/etc/b").exists()


def test_a_secret_is_in_no_generation(machine: Machine) -> None:
    machine.write("/etc/credstore/key", "hunter2\n", mode=0o600)
    machine.boot()
    encrypt = ("systemd-creds", "encrypt", "--with-key=host", "--name=any", "-", "-")
    ciphertext = "".join(machine.run(*encrypt, stdin="hunter2 too\n").stdout.split())
    machine.write("/etc/app.cred", ciphertext)
    write(
        machine,
        f"""\
files:
  /etc/app/key: {{credential: key, owner: www}}
  /etc/app/a: {{credential: {{ciphertext: "{ciphertext}"}}}}
  /etc/app/b: {{credential: {{encrypted: /etc/app.cred}}}}
""",
    )
    converged(machine)

    assert machine.run("stat", "-c", "%a %U", "/etc/app/key").stdout == "600 www-data\n"
    assert machine.read("/etc/app/key") == "hunter2\n"
    assert [machine.read(path) for path in ("/etc/app/a", "/etc/app/b")] == ["hunter2 too\n"] * 2
    leaks = machine.run("grep", "-r", "hunter2", "/etc/ordain", "/var/lib/ordain", "/run/ordain", check=False)
    assert leaks.stdout == ""


def test_files_on_mounts_are_placed_after_mounting(machine: Machine) -> None:
    mounts = """\
mounts:
  /srv/local: {what: tmpfs, type: tmpfs}
  /srv/net: {what: tmpfs, type: tmpfs, options: [_netdev]}
files:
  /srv/local/a: {content: a}
  /srv/net/b: {content: b}
"""
    machine.boot()
    write(machine, mounts)

    status, text = apply(machine)

    assert status == 0, text
    for path in ("/srv/local", "/srv/net"):
        machine.run("mountpoint", path)
    assert [machine.read(path) for path in ("/srv/local/a", "/srv/net/b")] == ["a", "b"]

    machine.power_cut()
    machine.boot()

    assert [machine.read(path) for path in ("/srv/local/a", "/srv/net/b")] == ["a", "b"], "each boot mounts a new tmpfs"


GENERATOR = """\
#!/bin/sh
for file in /etc/containers/systemd/*.container; do
    [ -e "$file" ] || continue
    name=$(basename "$file" .container)
    printf '[Unit]\\nSourcePath=%s\\n[Service]\\n' "$file" >"$1/$name.service"
    printf 'ExecStart=/usr/bin/sleep %s\\n' "$(cat "$file")" >>"$1/$name.service"
done
"""
QUADLET = """\
files: {{/etc/containers/systemd/cage.container: {{content: "{}"}}}}
services: {{cage: {{unit: cage.service, state: running}}}}
"""


def _runs(machine: Machine, seconds: str) -> bool:
    pid = machine.show("cage.service", "MainPID").get("MainPID", "0")
    return machine.path(f"/proc/{pid}/cmdline").exists() and machine.read(f"/proc/{pid}/cmdline").split("\0")[1:2] == [
        seconds
    ]


def _codes(machine: Machine) -> set[str]:
    return {condition["code"] for condition in agent_status(machine)["conditions"]}


def test_a_service_that_a_generator_makes_from_a_file_runs_with_the_file_of_the_documents(machine: Machine) -> None:
    """The generator does what that of podman does with a quadlet."""
    machine.write("/etc/systemd/system-generators/quadlets", GENERATOR, mode=0o755)
    machine.boot()
    for seconds in ("1001", "1002"):
        write(machine, QUADLET.format(seconds))
        machine.until(f"cage sleeps {seconds} s", lambda seconds=seconds: _runs(machine, seconds))  # type: ignore[misc]
        wait_agent_state(machine, "converged")
    machine.write("/etc/containers/systemd/cage.container", "1003")
    machine.until("the agent names it", lambda: "ReloadNeeded" in _codes(machine))
    machine.reboot()  # the generator reads the file before Ordain places that of the documents again
    machine.until("cage runs", lambda: _runs(machine, "1003"))
    machine.until("the agent names it", lambda: "ReloadNeeded" in _codes(machine))
    wait_agent_state(machine, "degraded")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "cage.service")
    wait_agent_state(machine, "converged")
    assert _runs(machine, "1002")
    write(machine, "")
    machine.until("cage is gone", lambda: not _runs(machine, "1002"))
    wait_agent_state(machine, "converged")


def test_a_unit_that_runs_with_the_quadlet_of_before_is_named_until_it_is_restarted(machine: Machine) -> None:
    machine.write("/etc/systemd/system-generators/quadlets", GENERATOR, mode=0o755)
    machine.write("/etc/containers/systemd/cage.container", "1001")
    write(machine, "services: {cage: {unit: cage.service, state: running}}\n")
    machine.boot()
    machine.until("cage runs", lambda: _runs(machine, "1001"))
    wait_agent_state(machine, "converged")

    machine.write("/etc/containers/systemd/cage.container", "1002")
    machine.run("systemctl", "daemon-reload")

    machine.until("the agent names it", lambda: "RestartNeeded" in _codes(machine))
    plan = machine.run("ordainctl", "plan").stdout
    assert "/run/systemd/generator/cage.service has changed since the unit was started" in plan
    assert _runs(machine, "1001")
    machine.run("systemctl", "restart", "cage.service")
    machine.until("it is up to date", lambda: not {"RestartNeeded", "ReloadNeeded"} & _codes(machine))
    assert _runs(machine, "1002")
