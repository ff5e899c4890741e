"""The log of a store: put, delete and their reasons, the policy, `query changes`, and the times of versions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from ordain.agent.cli.main import main
from ordain.agent.cli.store import open_store
from ordain.agent.delivery.database.database import ANY
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.release.change_log import (
    CHANGES,
    Author,
    ChangeAction,
    StoreChange,
    change_entry,
    new_change,
    prune_changes,
    read_changes,
)

WEB = "ordain: v1\nkind: Layer\nname: web\nservices: {web: {command: /bin/web}}\n"


class Shop:
    """A store in a directory, and an administrator who changes it."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.store = path / "store"
        self.store.mkdir()
        self.root = path / "root"
        self.file = path / "web.yaml"
        self._capsys = capsys

    @property
    def database(self) -> DirectoryDatabase:
        return DirectoryDatabase(self.store)

    def run(self, *words: str, status: int = 0) -> str:
        assert main([*words, f"--store={self.store}"], root=self.root) == status
        said = self._capsys.readouterr()
        return said.out + said.err

    def put(self, text: str, *words: str, status: int = 0) -> str:
        self.file.write_text(text)
        return self.run("documents", "put", str(self.file), *words, status=status)

    def changes(self, *words: str) -> list[dict[str, object]]:
        return list(json.loads(self.run("query", "changes", *words, "--json")))

    def log(self, changes: Iterable[StoreChange]) -> None:
        asyncio.run(self.database.write([change_entry(change) for change in changes]))


@pytest.fixture
def shop(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setattr(open_store, "user_of_process", lambda _pid: "alice")
    monkeypatch.setattr("socket.gethostname", lambda: "desk")
    return Shop(tmp_path, capsys)


def test_every_change_of_a_document_is_logged_with_author_and_reason(shop: Shop) -> None:
    shop.put(WEB, "--why", "a new service")
    shop.put(WEB)  # nothing changes
    shop.put(WEB + "# more\n", "--why", "a remark")
    shop.run("documents", "put", "--preview", str(shop.file))
    shop.run("documents", "delete", "web", "--why", "not used")

    changes = shop.changes()
    assert [(c["action"], c["subjects"], c["by"], c["why"], c["what"]) for c in changes] == [
        ("put", ["layer/web"], "alice@desk", "a new service", "new"),
        ("put", ["layer/web"], "alice@desk", "a remark", "1 line added, 0 removed"),
        ("delete", ["layer/web"], "alice@desk", "not used", ""),
    ]
    table = shop.run("query", "changes", "action=put and why~remark")
    assert "alice@desk  put     layer/web  1 line added, 0 removed  a remark" in table
    assert shop.run("query", "changes", "subject=layer/*", "--count") == "3\n"


def test_a_policy_has_every_change_need_a_reason(shop: Shop) -> None:
    assert shop.run("store", "policy") == "changes need no reason\ndocuments need no tests\n"
    shop.run("store", "policy", "required", "--why", "audit")

    for words in ([], ["--why", " "]):
        assert "wants a reason for every change; give it with --why" in shop.put(WEB, *words, status=1)
    assert shop.run("documents", "list") == "there are no documents\n"
    shop.put(WEB, "--preview")
    shop.put(WEB, "--why", "a new service")
    assert "wants a reason" in shop.run("documents", "delete", "web", status=1)
    assert "wants a reason" in shop.run("store", "policy", "optional", status=1)
    assert [c["action"] for c in shop.changes()] == ["policy", "put"]


def test_changes_are_chosen_by_time(shop: Shop) -> None:
    tuesday = new_change(ChangeAction.PUT, ["layer/a"], Author(by="bert"))
    times = ("2026-11-23T12:00:00+00:00", "2026-11-24T12:00:00+00:00", "2026-11-25T12:00:00+00:00")
    shop.log(replace(tuesday, time=time, why=time[:10]) for time in reversed(times))

    def whys(*words: str) -> list[object]:
        return [change["why"] for change in shop.changes(*words)]

    assert whys() == ["2026-11-23", "2026-11-24", "2026-11-25"]
    assert whys("--since", "2026-11-24 00:00 UTC") == ["2026-11-24", "2026-11-25"]
    assert whys("--until", "2026-11-24 12:00 UTC") == ["2026-11-23"]
    assert shop.run("query", "changes", "--since", "2026-11-26") == "no change matches\n"
    for words in (["--since", "soon"], ["--since", "2026-11-26", "--until", "2026-11-25"], ["owner=bert"], ["a/b=c"]):
        shop.run("query", "changes", *words, status=2)


def test_entries_that_cannot_be_read_are_named(shop: Shop) -> None:
    shop.put(WEB)
    for data in (b"[]", b'{"time": "x", "action": "put", "subjects": []}'):
        asyncio.run(shop.database.put(f"{CHANGES}odd", data, expect=ANY))
        assert f"cannot be read, such as {CHANGES}odd" in shop.run("query", "changes", status=3)


def test_the_log_keeps_its_newest_entries(shop: Shop) -> None:
    shop.log(
        replace(new_change(ChangeAction.PUT, [str(n)], Author(by="")), time=f"2026-11-{n:02}") for n in range(1, 8)
    )

    assert asyncio.run(prune_changes(shop.database, 3)) == 4
    assert [c.subjects for c in asyncio.run(read_changes(shop.database)).changes] == [("5",), ("6",), ("7",)]


def test_the_directory_of_a_machine_has_no_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    documents = tmp_path / "etc/ordain/documents"
    documents.mkdir(parents=True)
    file = tmp_path / "web.yaml"
    file.write_text(WEB)

    assert main(["documents", "put", str(file), "--why", "x"], root=tmp_path) == 2
    assert "keeps no reasons" in capsys.readouterr().err
    assert main(["documents", "put", str(file)], root=tmp_path) == 0
    assert [path.name for path in documents.rglob("*") if path.is_file() and path.name[0] != "."] == ["web.yaml"]
