"""An SSH key that sshd would ignore blocks its user, at the key."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.render.authorized_key import fault_of_key

KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


@pytest.mark.parametrize(
    "line",
    [
        f"ssh-ed25519 {KEY}",
        f"ssh-ed25519 {KEY} ann smith",
        f"ssh-ed25519\t{KEY}  ann",
        f'restrict,from="10.0.0.0/8",command="echo \\"a b\\"" ssh-ed25519 {KEY} ann',
        "new-type AAAACG5ldy10eXBl ann",
    ],
)
def test_a_key_that_sshd_reads_is_accepted(line: str) -> None:
    assert fault_of_key(line) == ""


@pytest.mark.parametrize(
    "line",
    [
        "",
        "k",
        "AAAAC3Nz dave",
        f"{KEY} dave",
        "ssh-rsa notbase64 x",
        "ssh-ed25519 AAAA",
        "ssh-ed25519",
        f"ssh-ed25519 {KEY[:-4]} cut",
        f"ssh-ed25519 {KEY[:-1]} cut",
        f"ssh-ed25519 {KEY}AAAA longer",
        f"ssh-rsa {KEY} another",
        f"# ssh-ed25519 {KEY}",
        f"ssh-ed25519 {KEY}\nssh-ed25519 {KEY}",
        f'from="10.0.0.0/8", ssh-ed25519 {KEY[:-4]}',
    ],
)
def test_a_key_that_sshd_ignores_has_a_fault(line: str) -> None:
    assert fault_of_key(line)


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs ssh-keygen")
@pytest.mark.parametrize("kind", [("ed25519",), ("rsa", "-b", "1024"), ("ecdsa", "-b", "256"), ("ecdsa", "-b", "521")])
def test_keys_that_ssh_keygen_makes_are_read_and_their_parts_are_not(tmp_path: Path, kind: tuple[str, ...]) -> None:
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-f", tmp_path / "key", "-t", *kind], check=True)
    name, key, comment = (tmp_path / "key.pub").read_text().split()

    assert fault_of_key(f"{name} {key} {comment}") == ""
    for end in range(len(key) - 1):
        assert fault_of_key(f"{name} {key[:end]} {comment}")


def test_the_problem_is_at_the_key_and_blocks_the_user() -> None:
    keys = f"[ssh-ed25519 {KEY},\n ssh-ed25519 AAAA]"
    documents, _ = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\nusers: {{g: {{keys: {keys}}}}}\n".encode())

    (problem,) = compile(documents, facts_for("debian-12")).problems

    assert (problem.item, problem.where.line) == ("users/g", 5)
    assert problem.what == "sshd cannot read the key, because it is cut off or changed"
