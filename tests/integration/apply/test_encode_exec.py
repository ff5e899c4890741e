"""The arguments, environment, standard input, credentials and directory that PID 1 gives to a program."""

from __future__ import annotations

import base64

import pytest

from ordain.transforms.systemd.encode import Neutral, encode, encode_command
from ordain.transforms.systemd.unit_file import Setting, write
from rig.machine import Machines

pytestmark = pytest.mark.integration

HOSTILE = (
    "", " ", "a b", "$HOME", "${HOME}", "$", "$$", "$$HOME", "a$HOME", "$MAINPID", "`id`", "%i", "%%", "50%", "%",
    "\\", "x\\", "\\n", "\\x41", "'", '"', ";", "a;b", "-x", "+x", "@x", "|", "#", "*", "~",
    "é\u2028\U0001f600", "a\nb", "\r", "\t", "\x01\x1b\x7f",
)  # fmt: skip
SCRIPT = """#!/bin/sh
printf '%s\\0' "$@" >/run/seen.arguments
env -0 >/run/seen.environment
cat >/run/seen.input
cp "$CREDENTIALS_DIRECTORY/key" /run/seen.credential
pwd >/run/seen.directory
"""


def test_a_program_receives_the_exact_bytes(machines: Machines, suite: str) -> None:
    machine = machines(suite, bare=True)
    environment = {f"V{at}": value for at, value in enumerate(HOSTILE)}
    text = "".join(f"{value}\n" for value in HOSTILE)
    directory = "/srv/a b%i$x'\"\\y"
    values: dict[str, Neutral] = {
        "Type": "oneshot",
        "Environment": environment,
        "StandardInput": "data",
        "StandardInputText": text,
        "SetCredential": ("key", "".join(HOSTILE) + " "),
        "WorkingDirectory": directory,
    }
    lines = [Setting(section="Service", key=key, value=encode("Service", key, value)) for key, value in values.items()]
    command = encode_command(("/usr/local/bin/see it", *HOSTILE))
    lines.append(Setting(section="Service", key="ExecStart", value=command))
    machine.write("/usr/local/bin/see it", SCRIPT, mode=0o755)
    machine.write(f"{directory}/x", "")
    machine.write("/etc/systemd/system/see.service", write(lines))

    machine.boot()
    machine.run("systemctl", "start", "see.service")

    def seen(name: str) -> bytes:
        return base64.b64decode(machine.run("base64", "-w0", f"/run/seen.{name}").stdout)

    assert seen("arguments") == "".join(f"{value}\0" for value in HOSTILE).encode()
    assert {f"{name}={value}".encode() for name, value in environment.items()} <= set(seen("environment").split(b"\0"))
    assert seen("input") == text.encode()
    assert seen("credential") == ("".join(HOSTILE) + " ").encode()
    assert seen("directory") == f"{directory}\n".encode()
