"""Secrets on booted machines: a missing secret delays only its own unit, and a new one restarts it."""

from __future__ import annotations

import pytest

from ordain.agent.delivery.identity.decryption_key import generate_decryption_key
from ordain.agent.delivery.identity.machine_record import decode_key
from ordain.agent.delivery.identity.sealing import seal
from ordain.agent.delivery.identity.secret_text import as_document
from ordain.transforms.sealed_secret import SealedSecret
from rig.machine import Machine
from rig.machine_agent import (
    PLACES_OF_DOCUMENTS,
    active_state,
    agent_status,
    environment,
    invocations,
    readable_by_nobody,
    sleep_service,
    wait_active,
    write_layer,
)

pytestmark = [pytest.mark.integration, pytest.mark.one_debian]

FILE = "/etc/credstore/db"
WEB = f"{{command: [/usr/bin/sleep, infinity], credentials: {{db: {{file: {FILE}}}}}}}"
SECRETS = ("correct-horse", "battery-staple")


def codes(machine: Machine) -> list[str]:
    return [condition["code"] for condition in agent_status(machine)["conditions"]]


def test_a_secret_is_added_and_changed_and_never_shown(machine: Machine) -> None:
    write_layer(machine, web=WEB, other=sleep_service())
    machine.boot()
    wait_active(machine, "other.service")
    machine.until("the missing secret is reported", lambda: "CredentialMissing" in codes(machine))
    assert active_state(machine, "web.service") == "inactive"

    machine.write(FILE, SECRETS[0], mode=0o600)
    wait_active(machine, "web.service")
    machine.until("nothing is missing", lambda: "CredentialMissing" not in codes(machine))
    before = invocations(machine, "web.service", "other.service")
    machine.until(
        "the hash of the secret is recorded",
        lambda: "web.service" in machine.run("cat", "/run/ordain/credentials.json", check=False).stdout,
    )

    machine.write(FILE, SECRETS[1], mode=0o600)
    machine.until(
        "web was restarted", lambda: invocations(machine, "web.service") != {"web.service": before["web.service"]}
    )
    wait_active(machine, "web.service")
    assert invocations(machine, "other.service")["other.service"] == before["other.service"]

    shown = machine.journal("--lines=all") + machine.run("cat", "/run/ordain/status.json").stdout
    shown += machine.run("ordainctl", "status", "--json").stdout + machine.run("ordainctl", "diff", "1", "2").stdout
    shown += (
        machine.run("systemctl", "cat", "web.service").stdout + machine.run("ordainctl", "history", "--json").stdout
    )
    shown += machine.run("grep", "-rhaE", "x", "/var/lib/ordain", "/etc/ordain", "/run/ordain").stdout
    assert not any(secret in shown for secret in SECRETS)


HIDDEN = """ordain: v1
kind: Layer
name: base
values: {word: hunter2}
files:
  /etc/app/secret.conf: {content: "password=hunter2", mode: "0600"}
  /etc/app/template.conf: {template: "password={{ values.word }}", mode: "0600"}
"""


def test_contents_of_files_are_for_root_alone_also_after_an_upgrade(machine: Machine) -> None:
    machine.write("/etc/ordain/documents/base.yaml", HIDDEN)
    machine.boot()
    machine.until("the file is placed", lambda: machine.path("/etc/app/template.conf").exists())
    machine.until("the generation is proven", lambda: machine.path("/etc/ordain/boot/current").exists())
    assert machine.read("/etc/app/template.conf") == "password=hunter2"
    assert readable_by_nobody(machine, "hunter2") == []
    # There is something to find. A file that ends during the search makes the exit status of grep 2.
    assert machine.run("grep", "-rlsa", "hunter2", *PLACES_OF_DOCUMENTS, check=False).stdout.count("\n") >= 4

    # The modes that older versions used.
    machine.run("chmod", "-R", "a+rX", "/etc/ordain", "/var/lib/ordain", "/run/ordain")
    assert readable_by_nobody(machine, "hunter2")
    machine.run("dpkg-reconfigure", "--frontend=noninteractive", "ordain")  # its postinst restarts the agent
    machine.run("systemctl", "restart", "ordain-agent.service")
    assert readable_by_nobody(machine, "hunter2") == []


DOCUMENT = """ordain: v1
kind: Layer
name: app
files:
  /etc/munge/munge.key: {credential: {secret: munge-key}}
  /etc/ssh/ssh_host_ed25519_key: {credential: {secret: host-key}}
services:
  other: {command: [/usr/bin/sleep, infinity], environment: {WORD: "%s"}}
  web:
    command: [sh, -c, 'cp "$CREDENTIALS_DIRECTORY/db" /run/web/got && exec sleep infinity']
    directories: {runtime: web}
    credentials: {db: {secret: db}}
"""
MUNGE_KEY, HOST_KEY = bytes(range(256)) * 4, "-----BEGIN KEY-----\nönly one machine\n".encode()
SEALED = "/etc/ordain/documents/secret-{}.yaml"
OPENED = "/run/ordain/secrets"
SEALED_KEY, BOOT_KEYS = "/etc/credstore.encrypted/ordain.secret-key", "/run/credstore.encrypted"


def write_secret(machine: Machine, name: str, value: bytes, *keys: bytes) -> SealedSecret:
    secret = seal(name, value, keys)
    write_sealed(machine, secret)
    return secret


def write_sealed(machine: Machine, secret: SealedSecret) -> None:
    machine.write(SEALED.format(secret.name), as_document(secret, ["machine=web1"]))


def got(machine: Machine) -> bytes:
    path = machine.path("/run/web/got")
    return path.read_bytes() if path.exists() else b""


def test_sealed_secrets_are_opened_by_their_machine_alone_in_each_boot(machine: Machine) -> None:
    machine.boot()
    public = machine.run("ordainctl", "secret", "key").stdout.strip().removeprefix("key=")
    own, stranger = decode_key(public), generate_decryption_key().public
    first = write_secret(machine, "db", SECRETS[0].encode(), own)
    write_secret(machine, "munge-key", MUNGE_KEY, own)
    write_secret(machine, "host-key", HOST_KEY, own)
    machine.write("/etc/ordain/documents/app.yaml", DOCUMENT % 1)
    machine.until("web has its secret", lambda: got(machine) == SECRETS[0].encode())
    wait_active(machine, "web.service", "other.service")
    machine.until("the munge key is placed", lambda: machine.path("/etc/munge/munge.key").exists())
    assert machine.path("/etc/munge/munge.key").read_bytes() == MUNGE_KEY
    assert machine.path(OPENED).stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in machine.path(OPENED).iterdir()} == {0o600}

    # Sealed again for one more machine: nothing restarts.
    machine.until("the generation is in force", lambda: agent_status(machine)["state"] == "converged")
    before, generation = invocations(machine, "web.service", "other.service"), agent_status(machine)["generation"]
    copies = {**seal("db", b"x", [stranger]).copies, **first.copies}
    write_sealed(machine, SealedSecret(name="db", value=first.value, copies=copies))
    machine.until("the list of keys is applied", lambda: agent_status(machine)["generation"] != generation)
    assert invocations(machine, "web.service", "other.service") == before

    # A new value restarts its service alone. The sealed key is where a boot puts one: systemd opens it there, too.
    machine.run("install", "-d", "-m", "700", BOOT_KEYS)
    machine.run("mv", SEALED_KEY, BOOT_KEYS)
    write_secret(machine, "db", SECRETS[1].encode(), own)
    machine.until("web has the new secret", lambda: got(machine) == SECRETS[1].encode())
    wait_active(machine, "web.service")
    running = invocations(machine, "web.service", "other.service")
    assert running["other.service"] == before["other.service"]

    # One that is for another machine: web keeps its last good form, and other documents take effect.
    write_secret(machine, "db", b"for-somebody-else", stranger)
    machine.until("the machine cannot open it", lambda: "SecretNotForMachine" in codes(machine))
    machine.write("/etc/ordain/documents/app.yaml", DOCUMENT % 2)
    machine.until("other has changed", lambda: environment(machine, "other.service") == "WORD=2")
    wait_active(machine, "web.service", "other.service")
    assert invocations(machine, "web.service")["web.service"] == running["web.service"]
    machine.until("the generation is proven", lambda: agent_status(machine)["state"] == "degraded")

    machine.run("mv", f"{BOOT_KEYS}/ordain.secret-key", SEALED_KEY)
    for _ in range(2):
        machine.reboot()
        wait_active(machine, "web.service")
        assert got(machine) == SECRETS[1].encode()
        assert machine.path("/etc/munge/munge.key").read_bytes() == MUNGE_KEY
        assert machine.path("/etc/ssh/ssh_host_ed25519_key").read_bytes() == HOST_KEY

    shown = machine.journal("--lines=all") + machine.run("ordainctl", "status", "--json").stdout
    shown += machine.run("ordainctl", "diff", "1", "2").stdout + machine.run("ordainctl", "history", "--json").stdout
    shown += machine.run("grep", "-rhaE", "x", "/var/lib/ordain", "/etc/ordain", "/run/ordain/boot").stdout
    assert not any(secret in shown for secret in (*SECRETS, "only one machine"))
