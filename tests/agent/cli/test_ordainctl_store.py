"""ordainctl documents …: written by name, checked before, never over somebody else's change."""

from __future__ import annotations

import asyncio
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


class Admin:
    """Somebody at a shell, with a store, or with the directory of the machine."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str], *, store: bool) -> None:
        self.path = path
        self.root = path / "root"
        self.local = self.root / "etc/ordain/documents"
        self.local.mkdir(parents=True)
        self.shelf = path / "store"
        self.shelf.mkdir()
        self._store = [f"--store={self.shelf}"] if store else []
        self._capsys = capsys

    def run(self, *words: str, status: int = 0) -> str:
        """Run `ordainctl documents`; what it printed."""
        found = main(["documents", *words, *self._store], root=self.root)
        out, err = self._capsys.readouterr()
        assert found == status, out + err
        return out + err

    def file(self, text: str, name: str = "new.yaml") -> str:
        (self.path / name).write_text(text)
        return str(self.path / name)

    def list(self) -> list[tuple[str, list[str]]]:
        return [(each["name"], each["scopes"]) for each in json.loads(self.run("list", "--json"))]


@pytest.fixture
def admin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Admin:
    return Admin(tmp_path, capsys, store=True)


@pytest.fixture
def local(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Admin:
    return Admin(tmp_path, capsys, store=False)


def test_documents_lie_where_their_machines_look(admin: Admin) -> None:
    assert "there is no document" in admin.run("list")
    told = admin.run("put", admin.file(BASE + "---\n" + WEB))
    assert "layer/base: new" in told
    assert admin.list() == [("base", ["common"]), ("web", ["role=db", "role=web"])]
    assert admin.run("get", "base") == BASE
    assert admin.run("get", "layer/web") == WEB
    assert "layer/web: as it was" in admin.run("put", admin.file(WEB))
    admin.run("put", admin.file(WEB.replace("[web, db]", "web")))
    assert admin.list() == [("base", ["common"]), ("web", ["role=web"])]
    assert "layer/web: removed" in admin.run("delete", "web")
    assert admin.list() == [("base", ["common"])]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ordain: v1\nkind: Layer\nname: web\nservces: {}\n", "did you mean services"),
        (WEB + "---\nordain: v1\nkind: Layer\n", "the key name is missing"),
        (WEB + "---\n" + WEB, "there are two Layer documents called web"),
        ("ordain: v1\nkind: Layer\nname: other\nsysctl: {vm.swappiness: 20}\n", "LayerConflict"),
    ],
)
def test_what_is_wrong_is_not_written(admin: Admin, text: str, says: str) -> None:
    admin.run("put", admin.file(BASE))
    assert says in admin.run("put", admin.file(text), status=1)
    assert admin.list() == [("base", ["common"])]


def report(admin: Admin, name: str, role: str) -> None:
    facts = {"id": "debian", "version": "12", "systemd": 252, "hostname": name, "labels": {"role": [role]}}
    data = json.dumps({"machine": name, "hostname": name, "facts": facts}).encode()
    asyncio.run(DirectoryDatabase(admin.shelf).put(f"status/{name}", data, expect=ANY))


def test_a_preview_tells_what_would_become_of_it_and_where(admin: Admin) -> None:
    for name, role in (("web1", "web"), ("web2", "web"), ("mail1", "mail")):
        report(admin, name, role)
    admin.run("put", admin.file(WEB))
    file = admin.file(WEB.replace("/bin/web", "/bin/other"))
    told = admin.run("put", "--preview", file)
    assert "touches 2 of 3 known machines" in told
    assert "web1, web2:\n    services/web/command: /bin/web → /bin/other" in told
    assert admin.run("get", "web") == WEB
    touched = json.loads(admin.run("put", "--preview", "--json", file))["touches"]
    assert [each["machines"] for each in touched] == [["web1", "web2"]]
    wrong = "ordain: v1\nkind: Layer\nname: w2\nmatch: {role: [web, mail]}\nservices: {web: {command: /bin/second}}\n"
    told = admin.run("put", "--preview", admin.file(wrong))
    assert "web1, web2:\n    refused:" in told
    assert "mail1:\n    services/web/command: nothing → /bin/second" in told
    assert "LayerConflict" in admin.run("put", admin.file(wrong), status=1)
    assert [name for name, _ in admin.list()] == ["web"]


def test_an_edit_of_what_somebody_else_changed_is_shown_and_kept(
    admin: Admin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    admin.run("put", admin.file(WEB))
    theirs = admin.file(WEB.replace("/bin/web", "/bin/theirs"), "theirs.yaml")
    editor = tmp_path / "editor"
    places = " ".join(f"{admin.shelf}/documents/role={role}/layer/web" for role in ("web", "db"))
    editor.write_text(f'#!/bin/sh\nsed -i s,/bin/web,/bin/ours, "$1"\nfor to in {places}; do cp {theirs} $to; done\n')
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    told = admin.run("edit", "web", status=1)
    assert "+services: {web: {command: /bin/theirs}}" in told
    kept = told.rpartition("your text is in ")[2].strip()
    assert "/bin/ours" in Path(kept).read_text()
    Path(kept).unlink()
    assert "/bin/theirs" in admin.run("get", "web")


def test_an_edit_is_written(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    admin.run("put", admin.file(WEB))
    monkeypatch.setenv("VISUAL", "sed -i s,/bin/web,/bin/other,")
    assert "layer/web: changed" in admin.run("edit", "web")
    assert "/bin/other" in admin.run("get", "web")
    assert "as it was" in admin.run("edit", "web")


def test_a_change_between_reading_and_writing_is_not_written_over(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin.run("put", admin.file(WEB))
    listing = DirectoryDatabase.list

    async def stale(self: DirectoryDatabase, *prefixes: str) -> Listing:
        found = await listing(self, *prefixes)
        entries = tuple(StoredEntry(key=e.key, data=e.data, version="then") for e in found.entries)
        return Listing(entries=entries, revision=found.revision)

    monkeypatch.setattr(DirectoryDatabase, "list", stale)
    told = admin.run("put", admin.file(WEB.replace("/bin/web", "/bin/ours")), status=1)
    assert "somebody else has changed it" in told
    assert admin.run("get", "web") == WEB


def test_a_diff_against_the_store(admin: Admin) -> None:
    admin.run("put", admin.file(WEB))
    file = admin.file(WEB.replace("/bin/web", "/bin/other"))
    assert "-services: {web: {command: /bin/web}}\n+services" in admin.run("diff", file)
    admin.run("diff", "--exit-code", file, status=7)
    admin.run("diff", "--exit-code", admin.file(WEB), status=0)


def test_what_is_not_there_is_told_with_what_is(admin: Admin) -> None:
    admin.run("put", admin.file(WEB))
    assert "did you mean web?" in admin.run("get", "wbe", status=1)
    assert "keeps no history" in admin.run("history", "web")
    assert "has no version 9" in admin.run("get", "web", "--version=9", status=1)


def test_the_directory_of_a_machine_keeps_its_files(local: Admin) -> None:
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


def test_a_file_that_is_wrong_loses_nothing(local: Admin) -> None:
    site = local.local / "site.yaml"
    site.write_text(f"{BASE}---\n{WEB}---\nordain: v1\nkind: Layer\nname: broken\nservces: {{}}\n")
    before = site.read_text()
    assert "cannot be rewritten" in local.run("delete", "web", status=1)
    assert "cannot be rewritten" in local.run("put", local.file(WEB.replace("/bin/web", "/x")), status=1)
    assert site.read_text() == before


def test_a_stream_is_split_at_its_marks() -> None:
    assert list(split_yaml(b"a\n---\nb\n--- # c\nd\n")) == [(1, b"a\n"), (2, b"b\n"), (4, b"d\n")]


def test_local_documents_are_a_database_too(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(BASE)
    database = LocalDatabase(tmp_path)
    entry = asyncio.run(database.get("documents/local/layer/base"))
    assert entry is not None
    assert entry.data == BASE.encode()


def test_a_document_that_lies_where_nobody_looks_is_told(admin: Admin) -> None:
    path = admin.shelf / "documents/role=mail/layer/web"
    path.parent.mkdir(parents=True)
    path.write_text(WEB)
    assert "machines look for it at documents/role=db/layer/web, documents/role=web/layer/web" in admin.run("list")
    admin.run("put", admin.file(WEB))
    assert admin.list() == [("web", ["role=db", "role=web"])]
    assert "machines look" not in admin.run("list")


def test_releases_stand_above_what_is_put(admin: Admin) -> None:
    asyncio.run(DirectoryDatabase(admin.shelf).put("releases/stable/head", b"{}", expect=None))
    assert "there are releases here" in admin.run("put", admin.file(WEB))
