"""The accounts of a machine are read from its files, with the knowledge whether there can be others."""

from __future__ import annotations

from pathlib import Path

import pytest

from ordain.transforms.machine.machine_accounts import read_accounts
from ordain.transforms.model import MachineAccounts


@pytest.mark.parametrize(
    ("nsswitch", "complete"),
    [
        (None, True),
        ("passwd: files systemd\ngroup: files [SUCCESS=merge] systemd\n", True),
        ("passwd: files sss\n", False),
        ("group:  files ldap  # more\n", False),
        ("hosts: files dns\n", True),
    ],
)
def test_accounts_are_read(tmp_path: Path, nsswitch: str | None, complete: bool) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n\nbad\nweb:x:33:34::/:/bin/sh\n")
    (tmp_path / "etc/group").write_text("web:x:34:\n")
    if nsswitch is not None:
        (tmp_path / "etc/nsswitch.conf").write_text(nsswitch)

    expected = MachineAccounts(users={"root": ("0", "0"), "web": ("33", "34")}, groups={"web": "34"}, complete=complete)
    assert read_accounts(tmp_path) == expected


def test_the_shells_of_the_machine_are_read(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/shells").write_text("# /etc/shells: valid login shells\n/bin/sh\n\n/bin/bash\n")

    assert read_accounts(tmp_path).shells == {"/bin/sh", "/bin/bash"}


def test_a_machine_without_files_has_no_accounts(tmp_path: Path) -> None:
    assert read_accounts(tmp_path) == MachineAccounts(complete=True)
