"""The drop-in that gives ordain-source.service its credentials."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ordain.agent.daemon import source_unit
from ordain.agent.daemon.source_unit import drop_in
from ordain.agent.source_settings import SourceKind, SourceSettings

SETTINGS = SourceSettings(type=SourceKind.ETCD, endpoints=("https://a:2379",))


@pytest.mark.parametrize(
    ("folder", "line"),
    [
        ("etc/credstore", "LoadCredential=ordain.machine-key"),
        ("run/credentials/@system", "LoadCredential=ordain.machine-key"),
        ("run/ordain/credentials/@system", "LoadCredential=ordain.machine-key"),
        (
            "run/ordain/credentials/@encrypted",
            "LoadCredentialEncrypted=ordain.machine-key:/run/credentials/@encrypted/ordain.machine-key",
        ),
    ],
)
def test_a_key_that_came_with_the_boot_is_given_by_the_path_of_pid1(tmp_path: Path, folder: str, line: str) -> None:
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "ordain.machine-key").write_text("key\n")

    assert "".join(drop_in(tmp_path, SETTINGS)).splitlines()[-1] == line


def test_another_credential_under_the_same_name_changes_the_drop_in(tmp_path: Path) -> None:
    """PID 1 loads credentials when the service starts: a reload of it would keep the earlier one."""
    folder = tmp_path / "etc/credstore"
    folder.mkdir(parents=True)
    settings = SourceSettings(type=SourceKind.COUCHDB, user="node", credential="password")
    texts = []
    for number in (1, 2, 2):
        (folder / "password").write_text(f"secret {number}")
        os.utime(folder / "password", (number, number))
        texts.append("".join(source_unit.drop_in(tmp_path, settings)))
    assert texts[0] != texts[1] == texts[2]
    assert "secret" not in "".join(texts)


def test_another_target_of_a_linked_credential_changes_the_drop_in(tmp_path: Path) -> None:
    """Tools that write secrets replace the target, or the link that leads to it."""
    (tmp_path / "etc/credstore").mkdir(parents=True)
    (tmp_path / "etc/credstore/password").symlink_to("/run/secrets/password")
    (tmp_path / "run/secrets").mkdir(parents=True)
    settings = SourceSettings(type=SourceKind.COUCHDB, user="node", credential="password")
    texts = []
    for number in (1, 2):
        (tmp_path / "run/secrets/password").write_text(f"secret {number}")
        os.utime(tmp_path / "run/secrets/password", (number, number))
        texts.append("".join(source_unit.drop_in(tmp_path, settings)))
    assert texts[0] != texts[1]
