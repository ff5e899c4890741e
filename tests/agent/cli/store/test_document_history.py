"""ordainctl documents history: versions, deletions and lost changes of a document, in every kind of store."""

from __future__ import annotations

import json
import secrets
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest

from ordain.agent.cli.main import main
from ordain.agent.cli.store.document_history import document_events
from ordain.agent.cli.store.open_store import with_store
from ordain.agent.delivery.database.database import ABSENT, Database
from ordain.agent.delivery.release.change_log import Author, ChangeAction, StoreChange, new_change
from rig.stores import store_servers

FIRST = "ordain: v1\nkind: Layer\nname: web\nvalues: {a: 1}\n"
SECOND = FIRST.replace("1}", "2}")
THIRD = FIRST.replace("1}", "3}")


@pytest.fixture(params=["directory", "etcd", "couchdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of an empty store of each kind."""
    if request.param == "directory":
        (tmp_path / "store").mkdir()
        yield str(tmp_path / "store")
    elif request.param == "etcd":
        endpoints = request.getfixturevalue("etcd_endpoints")
        yield f"etcd+{endpoints[0]}/history-{secrets.token_hex(4)}/"
    else:
        pouch: store_servers.CouchServer = request.getfixturevalue("pouch")
        name = f"t{secrets.token_hex(4)}"
        for database in (name, f"{name}-status"):
            store_servers.create_database(pouch, database)
        (tmp_path / "password").write_text(pouch.password)
        yield f"couchdb+{pouch.url}/{name}"
        for database in (name, f"{name}-status"):
            pouch.call("DELETE", database)


class Desk:
    """`ordainctl documents …` at one store."""

    def __init__(self, store: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        user = ("--user", "admin", "--password-file", str(folder / "password"))
        given = store_servers.given_couchdb() if store.startswith("couchdb") else None
        self._words = ("--store", store, *(user if given else ()))
        self._folder, self._capsys = folder, capsys

    def run(self, *words: str) -> str:
        assert main(["documents", *words, *self._words]) == 0
        return self._capsys.readouterr().out

    def request(self) -> Namespace:
        """Return a request for this store."""
        words = dict(zip(self._words[::2], self._words[1::2], strict=True))
        path = words.get("--password-file")
        return Namespace(
            store=words["--store"], user=words.get("--user"), password_file=path, ca=None, root=self._folder
        )

    def put(self, text: str, why: str) -> None:
        path = self._folder / "web.yaml"
        path.write_text(text)
        self.run("put", str(path), "--why", why)


def test_a_deletion_is_in_the_history_with_its_author_and_reason(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(store, tmp_path, capsys)
    desk.put(FIRST, "the first")
    desk.put(SECOND, "the second")
    desk.run("delete", "web", "--why", "not needed")

    shown = desk.run("history", "web")
    assert shown.partition(" ")[0] == "VERSION"
    keeps = not store.startswith("/")  # a directory has no earlier texts
    rows = json.loads(desk.run("history", "layer/web", "--json"))
    assert [(bool(row["version"]), row["text"], row["change"]["action"], row["change"]["why"]) for row in rows] == [
        (False, "", "delete", "not needed"),
        (keeps, SECOND if keeps else "", "put", "the second"),
        (keeps, FIRST if keeps else "", "put", "the first"),
    ]
    assert all("@" in row["change"]["by"] for row in rows)
    assert "not needed" in shown
    assert "deleted" in shown
    assert ("1 line added, 1 removed; the store does not have this version" in shown) is not keeps
    for row in rows[1:] if keeps else ():
        assert desk.run("get", "web", "--version", row["version"]) == row["text"]

    desk.put(THIRD, "needed again")
    desk.run("delete", "web", "--why", "not at all")
    desk.put(THIRD, "for good")
    rows = json.loads(desk.run("history", "web", "--json"))
    assert [row["change"]["why"] for row in rows] == [
        *("for good", "not at all", "needed again", "not needed", "the second", "the first")
    ]
    assert [row["text"] for row in rows] == [THIRD, "", *([THIRD, "", SECOND, FIRST] if keeps else [""] * 4)]


def test_versions_of_another_store_are_not_taken_for_those_of_this_one(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log of a restored store names versions of the store before it."""
    desk = Desk(store, tmp_path, capsys)
    desk.put(FIRST, "the first")
    key = "documents/common/layer/web"
    for latest in ("1", "99999999", "1-" + "a" * 32, "2-x", "x", "9" * 30):

        async def history(database: Database, latest: str = latest) -> object:
            return await database.history(key, 10, latest=latest)

        assert with_store(desk.request(), history) == ()


def test_a_document_that_never_was_is_not_known(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    desk = Desk(store, tmp_path, capsys)
    desk.put(FIRST, "")
    assert main(["documents", "history", "wep", *desk._words]) == 1
    assert "there is no document wep; did you mean web?" in capsys.readouterr().err


def change(action: ChangeAction, why: str, text: str = "") -> StoreChange:
    texts = {"layer/web": text.encode()} if text else {}
    return new_change(action, ["layer/web"], Author(by="a@b", why=why), what="new" if text else "", texts=texts)


def test_versions_meet_the_entries_of_the_log_that_wrote_them() -> None:
    log = [
        change(ChangeAction.PUT, "one", FIRST),
        change(ChangeAction.PUT, "lost", THIRD),
        change(ChangeAction.DELETE, "gone"),
        change(ChangeAction.PUT, "again", FIRST),
    ]
    versions = [
        ("9", b"by another program"),
        ("8", FIRST.encode()),
        (ABSENT, b""),
        ("2", FIRST.encode()),
        (ABSENT, b""),
    ]

    events = document_events(versions, log)

    assert [(event.version, event.change and event.change.why) for event in events] == [
        ("9", None), ("8", "again"), ("", "gone"), ("", "lost"), ("2", "one"),
    ]  # fmt: skip
    assert [event.what for event in events[1:4]] == ["new", "deleted", "new; the store does not have this version"]


def test_a_deletion_by_another_program_is_shown_without_an_author() -> None:
    versions = [("5", SECOND.encode()), (ABSENT, b""), ("2", FIRST.encode())]
    assert [(event.version, event.what) for event in document_events(versions, [])] == [
        ("5", "new"),
        ("", "deleted"),
        ("2", "the version before it is not in the store any more"),
    ]
