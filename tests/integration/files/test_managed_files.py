"""Files of the documents on booted machines: placed before their readers start, and checked before a reload."""

from __future__ import annotations

import pytest

from rig.machine import Machine

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
