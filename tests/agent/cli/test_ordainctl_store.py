"""ordainctl documents …: written by name, after a check, and never over somebody else's change."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import pytest

from ordain.agent.cli.main import main
from ordain.agent.delivery.database.database import ANY, Listing, StoredEntry
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.database.named_documents import split_yaml
from ordain.agent.delivery.source.local_database import LocalDatabase

BASE = "# the base\nordain: v1\nkind: Layer\nname: base\nsysctl: {vm.swappiness: 10}\n"
WEB = "ordain: v1\nkind: Layer\nname: web\nmatch: {role: [web, db]}\nservices: {web: {command: /bin/web}}\n"


class Operator:
    """An operator at a shell, with a store or with the directory of the machine."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str], *, store: bool) -> None:
        self.path = path
        self.root = path / "root"
        self.local = self.root / "etc/ordain/documents"
        self.local.mkdir(parents=True)
        self.store = path / "store"
        self.store.mkdir()
        self._store = [f"--store={self.store}"] if store else []
        self._capsys = capsys

    def run(self, *words: str, status: int = 0) -> str:
        """Run `ordainctl documents`, and return its output."""
        found = main(["documents", *words, *self._store], root=self.root)
        out, err = self._capsys.readouterr()
        assert found == status, out + err
        return out + err

    def file(self, text: str, name: str = "new.yaml") -> str:
        (self.path / name).write_text(text)
        return str(self.path / name)

    def list(self) -> list[tuple[str, list[str]]]:
        return [(text["name"], text["scopes"]) for text in json.loads(self.run("list", "--json"))]


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    return Operator(tmp_path, capsys, store=True)


@pytest.fixture
def local(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    return Operator(tmp_path, capsys, store=False)


def test_documents_are_stored_in_the_scopes_that_their_machines_read(operator: Operator) -> None:
    assert "there are no documents" in operator.run("list")
    output = operator.run("put", operator.file(BASE + "---\n" + WEB))
    assert "layer/base: new" in output
    assert operator.list() == [("base", ["common"]), ("web", ["role=db", "role=web"])]
    assert operator.run("get", "base") == BASE
    assert operator.run("get", "layer/web") == WEB
    assert "layer/web: not changed" in operator.run("put", operator.file(WEB))
    operator.run("put", operator.file(WEB.replace("[web, db]", "web")))
    assert operator.list() == [("base", ["common"]), ("web", ["role=web"])]
    assert "layer/web: deleted" in operator.run("delete", "web")
    assert operator.list() == [("base", ["common"])]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ordain: v1\nkind: Layer\nname: web\nservces: {}\n", "did you mean services"),
        (WEB + "---\nordain: v1\nkind: Layer\n", "the key name is missing"),
        (WEB + "---\n" + WEB, "two Layer documents have the name web"),
        ("ordain: v1\nkind: Layer\nname: other\nsysctl: {vm.swappiness: 20}\n", "LayerConflict"),
    ],
)
def test_invalid_documents_are_not_written(operator: Operator, text: str, says: str) -> None:
    operator.run("put", operator.file(BASE))
    assert says in operator.run("put", operator.file(text), status=1)
    assert operator.list() == [("base", ["common"])]


def report(operator: Operator, name: str, role: str) -> None:
    facts = {"id": "debian", "version": "12", "systemd": 252, "hostname": name, "labels": {"role": [role]}}
    machine = hashlib.md5(name.encode()).hexdigest()
    data = json.dumps({"machine": machine, "hostname": name, "facts": facts}).encode()
    asyncio.run(DirectoryDatabase(operator.store).put(f"status/{machine}", data, expect=ANY))


def test_a_preview_shows_the_effect_on_each_machine(operator: Operator) -> None:
    for name, role in (("web1", "web"), ("web2", "web"), ("mail1", "mail")):
        report(operator, name, role)
    operator.run("put", operator.file(WEB))
    file = operator.file(WEB.replace("/bin/web", "/bin/other"))
    output = operator.run("put", "--preview", file)
    assert "affects 2 of 3 known machines" in output
    assert "web1, web2:\n    services/web/command: /bin/web → /bin/other" in output
    assert operator.run("get", "web") == WEB
    touched = json.loads(operator.run("put", "--preview", "--json", file))["touches"]
    assert [effect["machines"] for effect in touched] == [["web1", "web2"]]
    wrong = "ordain: v1\nkind: Layer\nname: w2\nmatch: {role: [web, mail]}\nservices: {web: {command: /bin/second}}\n"
    output = operator.run("put", "--preview", operator.file(wrong))
    assert "web1, web2:\n    refused:" in output
    assert "mail1:\n    services/web/command: nothing → /bin/second" in output
    output = operator.run("put", operator.file(wrong), status=1)
    assert "LayerConflict" in output
    assert "refused by web1, web2" in output
    assert [name for name, _ in operator.list()] == ["web"]
    operator.run("put", "--force", operator.file(wrong))
    assert [name for name, _ in operator.list()] == ["w2", "web"]


def test_an_edit_of_a_document_that_somebody_else_changed_is_kept_in_a_file(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    operator.run("put", operator.file(WEB))
    theirs = operator.file(WEB.replace("/bin/web", "/bin/theirs"), "theirs.yaml")
    editor = tmp_path / "editor"
    places = " ".join(f"{operator.store}/documents/role={role}/layer/web" for role in ("web", "db"))
    editor.write_text(f'#!/bin/sh\nsed -i s,/bin/web,/bin/ours, "$1"\nfor to in {places}; do cp {theirs} $to; done\n')
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    output = operator.run("edit", "web", status=1)
    assert "+services: {web: {command: /bin/theirs}}" in output
    kept = output.rpartition("your text is in ")[2].strip()
    assert "/bin/ours" in Path(kept).read_text()
    Path(kept).unlink()
    assert "/bin/theirs" in operator.run("get", "web")


def test_an_edit_that_is_refused_can_be_corrected_and_put(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    operator.run("put", operator.file(WEB))
    monkeypatch.setenv("VISUAL", "sed -i s,services:,servics:,")
    output = operator.run("edit", "web", status=1)
    kept = Path(output.partition("put it: ordainctl documents put ")[2].split()[0])
    kept.write_text(kept.read_text().replace("servics:", "services:").replace("/bin/web", "/bin/corrected"))
    operator.run("put", str(kept))
    kept.unlink()
    assert "/bin/corrected" in operator.run("get", "web")


def test_an_edit_is_written(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    operator.run("put", operator.file(WEB))
    monkeypatch.setenv("VISUAL", "sed -i s,/bin/web,/bin/other,")
    assert "layer/web: changed" in operator.run("edit", "web")
    assert "/bin/other" in operator.run("get", "web")
    assert "layer/web: not changed" in operator.run("edit", "web")


def test_a_change_between_reading_and_writing_is_not_overwritten(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.run("put", operator.file(WEB))
    listing = DirectoryDatabase.list

    async def stale(self: DirectoryDatabase, *prefixes: str) -> Listing:
        found = await listing(self, *prefixes)
        entries = tuple(StoredEntry(key=e.key, data=e.data, version="then") for e in found.entries)
        return Listing(entries=entries, revision=found.revision)

    monkeypatch.setattr(DirectoryDatabase, "list", stale)
    output = operator.run("put", operator.file(WEB.replace("/bin/web", "/bin/ours")), status=1)
    assert "somebody else has changed it" in output
    assert operator.run("get", "web") == WEB


def test_a_diff_against_the_store(operator: Operator) -> None:
    operator.run("put", operator.file(WEB))
    file = operator.file(WEB.replace("/bin/web", "/bin/other"))
    assert "-services: {web: {command: /bin/web}}\n+services" in operator.run("diff", file)
    operator.run("diff", "--exit-code", file, status=7)
    operator.run("diff", "--exit-code", operator.file(WEB), status=0)


def test_unknown_documents_and_versions_are_reported_with_near_names(operator: Operator) -> None:
    operator.run("put", operator.file(WEB))
    assert "did you mean web?" in operator.run("get", "wbe", status=1)
    assert operator.run("history", "web").rstrip().endswith("new")
    assert "does not have version 9" in operator.run("get", "web", "--version=9", status=1)


def test_the_directory_of_a_machine_keeps_its_files(local: Operator) -> None:
    site = local.local / "site.yaml"
    site.write_text(f"{BASE}---\n{WEB}")
    assert local.list() == [("base", ["local"]), ("web", ["local"])]
    local.run("put", local.file(WEB.replace("/bin/web", "/bin/other")))
    assert site.read_text() == f"{BASE}---\n{WEB.replace('/bin/web', '/bin/other')}"
    local.run("delete", "web")
    assert site.read_text() == BASE
    local.run("put", local.file(WEB))
    assert (local.local / "web.yaml").read_text() == WEB
    local.run("delete", "base")
    assert [path.name for path in local.local.iterdir()] == ["web.yaml"]


def test_an_invalid_file_loses_nothing(local: Operator) -> None:
    site = local.local / "site.yaml"
    site.write_text(f"{BASE}---\n{WEB}---\nordain: v1\nkind: Layer\nname: broken\nservces: {{}}\n")
    before = site.read_text()
    assert "cannot change the file because of an error in it" in local.run("delete", "web", status=1)
    assert "cannot change the file because of an error in it" in local.run(
        "put", local.file(WEB.replace("/bin/web", "/x")), status=1
    )
    assert site.read_text() == before


def test_a_stream_is_split_at_its_marks() -> None:
    assert list(split_yaml(b"a\n---\nb\n--- # c\nd\n")) == [(1, b"a\n"), (2, b"b\n"), (4, b"d\n")]


def test_local_documents_are_a_database_too(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(BASE)
    database = LocalDatabase(tmp_path)
    entry = asyncio.run(database.get("documents/local/layer/base"))
    assert entry is not None
    assert entry.data == BASE.encode()


def test_a_document_that_no_machine_finds_is_reported(operator: Operator) -> None:
    path = operator.store / "documents/role=mail/layer/web"
    path.parent.mkdir(parents=True)
    path.write_text(WEB)
    assert "machines look for it at documents/role=db/layer/web, documents/role=web/layer/web" in operator.run("list")
    operator.run("put", operator.file(WEB))
    assert operator.list() == [("web", ["role=db", "role=web"])]
    assert "machines look" not in operator.run("list")


def test_put_warns_that_machines_follow_releases(operator: Operator) -> None:
    asyncio.run(DirectoryDatabase(operator.store).put("releases/stable/head", b"{}", expect=None))
    assert "this store has releases" in operator.run("put", operator.file(WEB))
