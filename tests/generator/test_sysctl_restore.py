"""A kernel parameter that no document sets any more gets its previous value back."""

from __future__ import annotations

from pathlib import Path

import pytest

from ordain.generator import phases, sysctl_restore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, text in (("net/ipv4/ip_forward", "0\n"), ("net/ipv4/conf/eth0.5/forwarding", "1\n"), ("kernel/x", "9\n")):
        (tmp_path / "proc/sys" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "proc/sys" / path).write_text(text)
    (tmp_path / "run/sysctl.d").mkdir(parents=True)
    return tmp_path


def says(root: Path, text: str) -> dict[str, str]:
    (root / sysctl_restore.FILE).write_text(text)
    return sysctl_restore.save_and_restore(root)


def test_the_previous_value_is_restored(root: Path) -> None:
    says(root, "net.ipv4.ip_forward = 1\nkernel.x = 3\n")
    for path, text in (("net/ipv4/ip_forward", "1\n"), ("kernel/x", "3\n")):
        (root / "proc/sys" / path).write_text(text)
    says(root, "# only this one\nkernel.x = 4\n")

    assert (root / "proc/sys/net/ipv4/ip_forward").read_text() == "0\n"
    assert (root / "proc/sys/kernel/x").read_text() == "3\n", "systemd-sysctl sets it"

    (root / sysctl_restore.FILE).unlink()
    sysctl_restore.save_and_restore(root)

    assert (root / "proc/sys/kernel/x").read_text() == "9\n"


def test_dots_belong_to_names_if_a_slash_comes_first(root: Path) -> None:
    says(root, "net/ipv4/conf/eth0.5/forwarding = 0\nnet.ipv4.ip_* = 1\nno.such = 1\n")
    (root / "proc/sys/net/ipv4/conf/eth0.5/forwarding").write_text("0\n")
    (root / "proc/sys/net/ipv4/ip_forward").write_text("1\n")
    says(root, "")

    assert (root / "proc/sys/net/ipv4/conf/eth0.5/forwarding").read_text() == "1\n"
    assert (root / "proc/sys/net/ipv4/ip_forward").read_text() == "0\n"


def test_nothing_is_recorded_without_a_file_of_ours(root: Path) -> None:
    assert sysctl_restore.save_and_restore(root) == {}
    assert not (root / phases.SYSCTL_RECORD).exists()
