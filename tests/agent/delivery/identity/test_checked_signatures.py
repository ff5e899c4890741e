"""Signatures that an earlier command has found valid, in a file that counts only if nobody else may write it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from ordain.agent.delivery.identity.checked_signatures import MOST, CheckedSignatures, cache_file
from ordain.agent.delivery.identity.machine_key import generate
from ordain.agent.delivery.release import signing

KEY, OTHER = (signing.key_from_seed(generate("f" * 16).seed) for _ in range(2))
PUBLIC = signing.public_bytes(KEY)


class Command:
    """A command that checks signatures, and counts those that it had to verify."""

    def __init__(self, folder: Path) -> None:
        self.verified = 0
        self.checked = CheckedSignatures(path=folder / "ordain/checked", verify=self._verify)
        self.checked.load()

    def _verify(self, data: bytes, signatures: Mapping[bytes, str]) -> frozenset[bytes]:
        self.verified += len(signatures)
        return signing.valid_signers(data, signatures)

    def holds(self, data: bytes, signature: str, key: bytes = PUBLIC) -> bool:
        return self.checked.check(data, {key: signature}) == {key}

    def end(self) -> int:
        self.checked.save()
        return self.verified


def test_a_valid_signature_is_verified_by_the_first_command_only(tmp_path: Path) -> None:
    signature = signing.sign(KEY, b"report")
    for wanted in (1, 0, 0):
        command = Command(tmp_path)
        assert command.holds(b"report", signature)
        assert command.holds(b"report", signature)
        assert command.end() == wanted
    assert (tmp_path / "ordain/checked").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "ordain").stat().st_mode & 0o777 == 0o700


def test_another_text_key_or_signature_is_verified_and_a_wrong_one_is_not_kept(tmp_path: Path) -> None:
    signature = signing.sign(KEY, b"report")
    command = Command(tmp_path)
    assert command.holds(b"report", signature)
    command.end()

    for _ in range(2):
        command = Command(tmp_path)
        assert not command.holds(b"Report", signature)
        assert not command.holds(b"report", signing.sign(OTHER, b"report"))
        assert not command.holds(b"report", signature, signing.public_bytes(OTHER))
        assert not command.holds(b"report", "x")
        assert command.end() == 4


def test_two_keys_of_one_text_are_held_apart(tmp_path: Path) -> None:
    other = signing.public_bytes(OTHER)
    signatures = {PUBLIC: signing.sign(KEY, b"a"), other: signing.sign(KEY, b"a")}
    for wanted in (2, 1):
        command = Command(tmp_path)
        assert command.checked.check(b"a", signatures) == {PUBLIC}
        assert command.end() == wanted


@pytest.mark.parametrize("damage", ["cut", "other program", "empty", "writable", "folder writable", "link", "fifo"])
def test_a_file_that_is_damaged_or_not_only_the_users_own_counts_for_nothing(tmp_path: Path, damage: str) -> None:
    signature = signing.sign(KEY, b"report")
    command = Command(tmp_path)
    assert command.holds(b"report", signature)
    command.end()
    path = tmp_path / "ordain/checked"
    data = path.read_bytes()
    if damage == "link":
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    elif damage == "fifo":
        path.unlink()
        os.mkfifo(path)
    elif "writable" in damage:
        (path if damage == "writable" else path.parent).chmod(0o777)
    else:
        path.write_bytes({"cut": data[:-1], "other program": b"x" * len(data), "empty": b""}[damage])

    command = Command(tmp_path)
    assert command.holds(b"report", signature)
    assert command.end() == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes owners")
def test_a_file_of_another_user_counts_for_nothing(tmp_path: Path) -> None:
    signature = signing.sign(KEY, b"report")
    Command(tmp_path).end()
    command = Command(tmp_path)
    assert command.holds(b"report", signature)
    command.end()
    os.chown(tmp_path / "ordain/checked", 65534, 65534)
    command = Command(tmp_path)
    assert command.holds(b"report", signature)
    assert command.end() == 1


def test_the_file_stays_small_and_keeps_what_was_used_last(tmp_path: Path) -> None:
    command = Command(tmp_path)
    command.checked._known = frozenset(number.to_bytes(32, "big") for number in range(MOST))
    signature = signing.sign(KEY, b"report")
    assert command.holds(b"report", signature)
    command.end()
    assert (tmp_path / "ordain/checked").stat().st_size < 32 * (MOST + 1)
    assert Command(tmp_path).holds(b"report", signature)
    command = Command(tmp_path)
    assert command.holds(b"report", signature)
    assert command.verified == 0


def test_without_a_home_nothing_is_kept_and_a_folder_that_cannot_be_made_is_not_a_fault(tmp_path: Path) -> None:
    assert cache_file({}) is None
    assert cache_file({"HOME": "/root"}) == Path("/root/.cache/ordain/checked-signatures")
    assert cache_file({"HOME": "/root", "XDG_CACHE_HOME": "/c"}) == Path("/c/ordain/checked-signatures")
    assert cache_file({"HOME": "/root", "XDG_CACHE_HOME": "relative"}) is None
    (tmp_path / "file").write_text("")
    for path in (None, tmp_path / "file/x/y"):
        checked = CheckedSignatures(path=path)
        checked.load()
        assert checked.check(b"a", {PUBLIC: signing.sign(KEY, b"a")}) == {PUBLIC}
        checked.save()
