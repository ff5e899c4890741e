"""`ordainctl render --netboot` prints the script of one machine, or says what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ordain.agent.cli.main import main

DOCUMENTS = """\
ordain: v1
kind: Layer
name: base
netboot: {kernel: vmlinuz}
---
ordain: v1
kind: Layer
name: big
tier: role
match: {system-product-name: R640}
netboot: {kernel: big}
---
ordain: v1
kind: Node
name: web3
match: {mac: "52:54:00:12:34:56"}
---
ordain: v1
kind: Node
name: web4
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "boot.yaml").write_text(DOCUMENTS)
    return str(tmp_path / "boot.yaml")


@pytest.mark.parametrize(
    ("words", "kernel"),
    [
        (["--mac", "52-54-00-12-34-56"], "vmlinuz"),
        (["--node", "web3"], "vmlinuz"),
        (["--mac", "52:54:00:00:00:01", "--fact", "system-product-name=R640"], "big"),
        (["--fact", "system-uuid=4c4c4544-0042-3510-8052-b4c04f4d3332"], "vmlinuz"),
    ],
)
def test_the_script_of_a_machine_is_printed(
    file: str, capsys: pytest.CaptureFixture[str], words: list[str], kernel: str
) -> None:
    assert main(["render", "--netboot", *words, file]) == 0
    assert f"kernel files/{kernel} || goto failed\n" in capsys.readouterr().out

    assert main(["render", "--netboot", "--json", *words, file]) == 0
    assert f"kernel files/{kernel}" in json.loads(capsys.readouterr().out)["script"]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ([], 2, "--netboot needs --mac, --node or --fact system-uuid=UUID"),
        (["--mac", "web3"], 2, "--mac must be a MAC address"),
        (["--mac", "52:54:00:00:00:01", "--fact", "os=debian"], 2, "--fact must be NAME=VALUE with one of"),
        (["--mac", "52:54:00:00:00:01", "--os", "debian-13"], 2, "no system runs yet"),
        (["--node", "web4"], 1, "the Node web4 does not match on mac; add --mac"),
        (["--node", "web"], 1, "there is no Node document called 'web'"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(
    file: str, capsys: pytest.CaptureFixture[str], words: list[str], status: int, message: str
) -> None:
    assert main(["render", "--netboot", *words, file]) == status
    assert message in capsys.readouterr().err


def test_the_options_of_a_boot_need_netboot(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "--mac", "52:54:00:00:00:01", file]) == 2
    assert "--mac and --files are used with --netboot" in capsys.readouterr().err


WRONG = """\
ordain: v1
kind: Layer
name: disk
match: {role: disk}
netboot:
  image: debian-13
  root: disk
  disk: {device: {serial: "x*"}, partitions: {root: {format: vfat}}}
---
ordain: v1
kind: Layer
name: both
match: {role: both}
netboot: {image: a, kernel: b}
"""
NODE = """---
ordain: v1
kind: Node
name: ram{number}
match: {{mac: "52:54:00:12:34:{number:02}"}}
labels: {{role: {role}}}
"""


@pytest.mark.parametrize(
    ("roles", "wanted"),
    [
        ((), []),
        (("disk", "disk"), ["netboot/disk/partitions/root/format: a system cannot be on vfat"]),
        (("both",), ["netboot/image: netboot names an image and a kernel"]),
        (("other",), []),
    ],
)
def test_validate_finds_the_faults_of_what_the_nodes_boot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], roles: tuple[str, ...], wanted: list[str]
) -> None:
    nodes = [NODE.format(number=number, role=role) for number, role in enumerate(roles)]
    (tmp_path / "boot.yaml").write_text(WRONG + "".join(nodes))

    status = main(["validate", "--json", str(tmp_path)])

    blocked = [p for p in json.loads(capsys.readouterr().out)["problems"] if p["code"] == "Netboot"]
    found = [f"{problem['pointer']}: {problem['what']}" for problem in blocked]
    assert [text[: len(begin)] for text, begin in zip(found, wanted, strict=True)] == wanted
    assert status == (3 if wanted else 0)
