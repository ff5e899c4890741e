"""A machine in RAM whose sealed secrets are the same in each boot: its key comes from the hypervisor."""

from __future__ import annotations

import base64

from ordain.agent.delivery.identity.decryption_key import CREDENTIAL, generate_decryption_key
from ordain.agent.delivery.identity.sealing import seal
from ordain.agent.delivery.identity.secret_text import as_document
from rig import qemu
from rig.proof.proof_machine import PATH, ProofMachine, require_active, require_equal, step, wait_applied

BOOTS = 3
MUNGE, HOST = "/etc/munge/munge.key", "/etc/ssh/ssh_host_ed25519_key"
DOCUMENT = f"""\
ordain: v1
kind: Layer
name: secrets
files:
  {MUNGE}: {{credential: {{secret: munge-key}}}}
  {HOST}: {{credential: {{secret: host-key}}}}
services:
  munge:
    command: [sh, -c, 'cp "$CREDENTIALS_DIRECTORY/key" /run/munge.used && exec sleep infinity']
    credentials: {{key: {{secret: munge-key}}}}
"""


def prove_secrets(made: ProofMachine) -> None:
    """Boot a machine in RAM three times, and compare the secrets that it has."""
    key = generate_decryption_key()
    secrets = {"munge-key": bytes(range(256)) * 4, "host-key": b"a key of a host\n" * 20}
    sealed = {
        f"etc/ordain/documents/{name}.yaml": as_document(seal(name, value, [key.public]), ["machine=proof"]).encode()
        for name, value in secrets.items()
    }
    documents = qemu.cpio({PATH.lstrip("/"): DOCUMENT.encode(), **sealed})
    value = base64.b64encode(key.line.encode()).decode()
    options = ["-smbios", f"type=11,value=io.systemd.credential.binary:{CREDENTIAL}={value}"]
    wanted = [base64.b64encode(secrets[name]).decode() for name in ("munge-key", "host-key", "munge-key")]
    with qemu.Qemu(
        made.home / "secrets", kernel=made.kernel, initrds=[made.ram, documents], options=options
    ) as machine:
        for boot in range(BOOTS):
            with step(f"a machine in RAM with sealed secrets, boot {boot + 1} of {BOOTS}"):
                machine.reboot() if boot else machine.wait_boot()
                wait_applied(machine, "handed")
                require_active(machine, "munge.service")
                found = [machine.run(f"base64 -w0 {path}").strip() for path in (MUNGE, HOST, "/run/munge.used")]
                require_equal("the secrets", found, wanted)
                require_equal("their modes", machine.run(f"stat -c %a {MUNGE} {HOST}").split(), ["600", "600"])
