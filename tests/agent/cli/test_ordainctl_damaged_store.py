"""Texts in a store that cannot be read: each is named with its remedy, blocks nothing else, and is replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from ordain.agent.cli.main import main
from ordain.agent.delivery.database.directory_database import file_of_key

BASE = "ordain: v1\nkind: Layer\nname: base\nvalues: {n: %d}\n"


class Operator:
    """An operator at a shell, with a store in a directory that has two signed releases."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path, self._capsys = path, capsys
        self.store = path / "store"
        self.store.mkdir()
        self.run("release", "keygen", str(path / "k"), store=False)
        for number in (1, 2):
            self.release(number)
            self.publish(number)

    def run(self, *words: str, status: int = 0, store: bool = True) -> str:
        """Run `ordainctl` and return its output."""
        options = [f"--store={self.store}"] if store else []
        found = main([*words, *options], root=self.path)
        out, err = self._capsys.readouterr()
        assert found == status, out + err
        return out + err

    def release(self, number: int) -> None:
        """Create a release in a file."""
        folder = self.path / f"docs{number}"
        folder.mkdir()
        (folder / "base.yaml").write_text(BASE % number)
        words = ("--number", str(number), "--key", str(self.path / "k.key"), "--output", self.file(number))
        self.run("release", "create", str(folder), *words, store=False)

    def file(self, number: int) -> str:
        return str(self.path / f"r{number}.json")

    def publish(self, number: int, status: int = 0) -> str:
        return self.run("release", "publish", self.file(number), str(self.path / f"docs{number}"), status=status)

    def damage(self, key: str) -> None:
        path = file_of_key(self.store, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("garbage")


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    return Operator(tmp_path, capsys)


def test_a_damaged_head_is_named_and_the_next_release_replaces_it(operator: Operator) -> None:
    operator.damage("releases/stable/head")
    for words in (("release", "list"), ("release", "rollout", "stable", "--once")):
        found = operator.run(*words, status=0 if "list" in words else 1)
        assert "releases/stable/head: cannot read the" in found
        assert "ordainctl release publish" in found
    assert "the channel is at 2" in operator.publish(1, status=1), "numbers only grow, also then"
    operator.publish(2)
    assert "cannot read" not in operator.run("release", "list")
    operator.damage("releases/stable/head")
    operator.release(3)
    operator.publish(3)
    assert operator.run("release", "list").count("latest") == 1


def test_a_damaged_release_is_replaced_by_publishing_it_again(operator: Operator) -> None:
    operator.damage("releases/stable/2")
    assert "releases/stable/2: cannot read the release" in operator.run("release", "list")
    operator.publish(2)
    assert "cannot read" not in operator.run("release", "list")


def test_a_damaged_policy_asks_for_reasons_until_it_is_settled(operator: Operator) -> None:
    operator.damage("releases/_policy")
    document = operator.path / "docs1/base.yaml"
    assert "wants a reason" in operator.run("documents", "put", str(document), status=1)
    operator.run("documents", "put", str(document), "--why", "meanwhile")
    assert "cannot read the policy" in operator.run("store", "policy")
    operator.run("store", "policy", "optional", "--why", "settled")
    assert "cannot read" not in operator.run("store", "policy")
    document.write_text(BASE % 7)
    operator.run("documents", "put", str(document))


def test_damaged_holds_stop_no_status_and_are_replaced_by_a_hold(operator: Operator) -> None:
    operator.damage("releases/_holds")
    assert "releases/_holds: not the holds of a fleet" in operator.run("fleet", "status")
    assert "nobody is held" in operator.run("release", "rollout", "stable", "--once", status=1)
    assert "hold others again" in operator.run("fleet", "hold", "--channel", "beta")
    assert "not the holds" not in operator.run("fleet", "status")


def test_a_damaged_record_of_the_fleet_is_not_taken_for_none(operator: Operator) -> None:
    """Then no report counts, and `fleet identity` said that every report does."""
    operator.damage("machines/_fleet")
    assert "no report and no slot of a machine counts" in operator.run("fleet", "identity")
    assert "restore it from a backup" in operator.run("fleet", "token", "--name", "web3", status=1)


def test_a_backup_says_what_is_damaged_in_the_store(operator: Operator) -> None:
    operator.damage("releases/stable/head")
    assert "it is in the backup as it is" in operator.run("store", "backup", str(operator.path / "b1"), status=3)
    operator.publish(2)
    operator.run("store", "backup", str(operator.path / "b2"))
    (blob, *_) = [path for path in (operator.store / "blobs").iterdir()]
    blob.write_text("garbage")
    found = operator.run("store", "backup", str(operator.path / "b3"), status=1)
    assert "missing or damaged in the store: blobs/" in found
    operator.publish(2)
    operator.release(3)


def test_a_backup_of_an_empty_store_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The prefix was wrong, or somebody has wiped the store: the last backup is the only one then."""
    (tmp_path / "empty").mkdir()
    words = ["store", "backup", str(tmp_path / "b"), f"--store={tmp_path / 'empty'}"]
    assert main(words, root=tmp_path) == 1
    assert "has nothing to back up" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_a_file_that_is_missing_is_named_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ordain.agent.cli.main._discard", lambda out: None)  # it closes the output of the tests
    assert main(["release", "publish", str(tmp_path / "no.json"), f"--store={tmp_path}"], root=tmp_path) == 1
    assert "no.json: No such file or directory" in capsys.readouterr().err
