"""ordainctl on a store in CouchDB: a conflict, an invalid or a foreign document stops no other work, and is settled."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.main import main
from ordain.agent.delivery.database.database import StoredEntry
from ordain.agent.delivery.release.manifest import ReleaseDraft
from ordain.agent.delivery.source.source_factory import open_database
from rig.stores import store_servers
from rig.stores.source_harness import new_couchdb_databases

pytestmark = pytest.mark.thorough

BASE = "ordain: v1\nkind: Layer\nname: base\nsysctl: {vm.swappiness: 10}\n"
THEIRS = BASE.replace("10", "20")
WEB = "ordain: v1\nkind: Layer\nname: web\nservices: {web: {command: /bin/web}}\n"
KEY = "documents/common/layer/base"
FOREIGN = "documents/common/layer/foreign"


class Operator:
    """An operator at a shell, with a store in CouchDB."""

    def __init__(self, server: store_servers.CouchServer, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.server = server
        self.path = path
        self.settings = new_couchdb_databases(server)
        self.database = self.settings.database
        (path / "password").write_text(server.password)
        scheme, _, host = server.url.partition("://")
        self._options = [f"--store=couchdb+{scheme}://{host}/{self.database}"]
        if server.user:
            self._options += [f"--user={server.user}", f"--password-file={path / 'password'}"]
        self._capsys = capsys

    def run(self, *words: str, status: int = 0) -> str:
        """Run `ordainctl` on the store, and return its output."""
        found = main([*words, *self._options], root=self.path)
        out, err = self._capsys.readouterr()
        assert found == status, out + err
        return out + err

    def file(self, text: str, name: str = "new.yaml") -> str:
        (self.path / name).write_text(text)
        return str(self.path / name)

    def put(self, text: str) -> str:
        return self.run("documents", "put", self.file(text))

    def replicated(self, key: str, text: str, rev: str = f"1-{'f' * 32}") -> None:
        """Write a revision as replication from another server does."""
        body = {"docs": [{"_id": key, "_rev": rev, "text": text}], "new_edits": False}
        self.server.call("POST", f"{self.database}/_bulk_docs", body)

    def leaves(self, key: str) -> list[str]:
        """Return the texts of all versions that are not deleted, also of those in conflict."""
        path = f"{self.database}/{quote(key, safe='')}"
        document = self.server.call("GET", f"{path}?conflicts=true")
        revs = [document["_rev"], *document.get("_conflicts", ())]
        return [self.server.call("GET", f"{path}?rev={rev}")["text"] for rev in revs]


@pytest.fixture
def operator(pouch: store_servers.CouchServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    return Operator(pouch, tmp_path, capsys)


@pytest.mark.parametrize("text", [BASE, THEIRS], ids=["ours", "theirs"])
def test_put_settles_a_conflict(operator: Operator, text: str) -> None:
    operator.put(BASE)
    operator.replicated(KEY, THEIRS)
    assert sorted(operator.leaves(KEY)) == [BASE, THEIRS]
    assert "layer/base has 2 versions in conflict" in operator.run("documents", "list")
    assert "layer/base: the conflict is settled" in operator.put(text)
    assert operator.leaves(KEY) == [text]
    assert "conflict" not in operator.run("documents", "list")


def test_delete_settles_a_conflict(operator: Operator) -> None:
    operator.put(BASE)
    operator.replicated(KEY, THEIRS)
    operator.run("documents", "delete", "base")
    assert "there are no documents" in operator.run("documents", "list")
    operator.put(BASE)
    assert operator.leaves(KEY) == [BASE]


def test_a_document_in_conflict_stops_no_other_document(operator: Operator) -> None:
    operator.put(BASE)
    operator.replicated(KEY, THEIRS)
    assert "layer/web: new" in operator.put(WEB)
    assert operator.run("documents", "get", "web") == WEB
    assert "in conflict" in operator.run("documents", "get", "base")
    operator.run("documents", "history", "base")
    operator.run("documents", "diff", operator.file(BASE))
    assert "layer/web: deleted" in operator.run("documents", "delete", "web")


@pytest.mark.parametrize(
    "content",
    [
        {"colour": "blue"},
        {"base64": "%"},
        {"text": "ordain: v1\nkind: Layer\n"},
        {"text": "no: [yaml"},
        {"text": BASE},
        {"base64": "/w=="},
    ],
    ids=["foreign", "base64", "incomplete", "yaml", "other-name", "bytes"],
)
def test_an_invalid_document_stops_no_other_document_and_is_replaced(operator: Operator, content: object) -> None:
    operator.put(BASE)
    for key in (FOREIGN, "documents/foreign", "releases/foreign"):
        operator.server.call("PUT", f"{operator.database}/{quote(key, safe='')}", content)
    operator.put(WEB)
    operator.run("documents", "get", "foreign")
    operator.run("documents", "delete", "web")
    operator.run("release", "list")
    operator.run("release", "prune")
    operator.put(WEB.replace("web", "foreign"))
    operator.run("documents", "delete", "foreign")
    listed, _, note = operator.run("documents", "list", "--json").partition("the store has ")
    assert [text["name"] for text in json.loads(listed)] == ["base"]
    assert "1 key of other programs, such as documents/foreign" in note


def test_conflicts_in_what_is_about_all_machines_block_no_document_and_no_stop(operator: Operator) -> None:
    operator.put(BASE)
    operator.run("release", "publish", *release(operator, 1, BASE))
    operator.run("release", "rollout", "stable", "--once")
    machines = "0" * 32 + "\n"
    for text, digit in ((machines, "e"), ("", "f")):
        operator.replicated("releases/_machines", text, f"1-{digit * 32}")
        operator.replicated("releases/stable/rollout", "{}", f"1-{digit * 32}")
        operator.replicated("releases/_holds", "{}", f"1-{digit * 32}")

    listed = operator.run("release", "list")
    for name, command in (
        ("_machines", "ordainctl fleet allow FILE"),
        ("_holds", "ordainctl fleet hold"),
        ("stable/rollout", "ordainctl release rollout stable --open"),
    ):
        (line,) = [line for line in listed.splitlines() if line.startswith(f"releases/{name} ")]
        assert f"settle it with `{command}" in line
    assert "releases/_machines has 2 versions in conflict" in operator.run("fleet", "status", status=3)
    operator.put(WEB)
    operator.run("release", "rollout", "stable", "--once", status=1)
    stopped = operator.run("release", "rollout", "stable", "--stop", "broken", "--once", status=Exit.ROLLED_BACK)
    assert "broken" in stopped
    assert "before the backup, settle it with `ordainctl" in operator.run(
        "store", "backup", str(operator.path / "backup"), status=1
    )

    operator.run("fleet", "allow", operator.file(machines, "machines"))
    operator.run("fleet", "follow", "--channel=stable", status=1)
    operator.run("fleet", "hold", "--channel=stable")
    assert "conflict" not in operator.run("release", "list")


def release(operator: Operator, number: int, text: str) -> tuple[str, str]:
    """Return the files of a release with one document."""
    hash = hashlib.sha256(text.encode()).hexdigest()
    draft = ReleaseDraft(channel="stable", number=number, documents={"common/base.yaml": hash}, created="now")
    return operator.file(draft.release().text().decode(), f"release{number}.yaml"), operator.file(text, "base.yaml")


def test_any_number_of_releases_is_published_and_pruned(operator: Operator) -> None:
    for number in range(1, 5):
        operator.run("release", "publish", *release(operator, number, BASE + "# again\n" * number))
        operator.run("release", "prune", "--keep=1")
    assert "stable" in operator.run("release", "list")


@pytest.mark.parametrize("last", [2, 3])
def test_two_sites_published_different_releases_of_one_number(operator: Operator, last: int) -> None:
    operator.run("release", "publish", *release(operator, 1, BASE))
    operator.run("release", "publish", *release(operator, 2, BASE))
    theirs = Path(release(operator, 2, THEIRS)[0]).read_text()
    for key in ("releases/stable/2", "releases/stable/head"):
        generation = 2 if key.endswith("head") else 1
        operator.replicated(key, theirs, f"{generation}-{'f' * 32}")
    if last == 3:
        operator.run("release", "publish", *release(operator, 3, WEB))
    assert "releases/stable/2 has 2 versions in conflict" in operator.run("release", "list")
    operator.run("release", "prune", "--dry-run")
    operator.run("release", "publish", *release(operator, 2, BASE))
    assert "conflict" not in operator.run("release", "list")
    ours = Path(release(operator, 2, BASE)[0]).read_text()
    assert operator.leaves("releases/stable/2") == [ours]
    assert operator.leaves("releases/stable/head") == ([ours] if last == 2 else operator.leaves("releases/stable/3"))


def stored_blobs(operator: Operator, database: str) -> set[str]:
    rows = operator.server.call("GET", f"{database}/_all_docs")["rows"]
    return {row["id"] for row in rows if row["id"].startswith("blobs/")}


def old_store(operator: Operator) -> set[str]:
    """Move the documents of releases to the place where earlier versions kept them, and return their keys."""
    blobs = stored_blobs(operator, operator.database)
    for key in blobs:
        path = f"{operator.database}/{quote(key, safe='')}"
        document = operator.server.call("GET", path)
        operator.server.call("DELETE", f"{path}?rev={document['_rev']}")
        new = f"{operator.database}-status/{quote(key, safe='')}"
        operator.server.call("PUT", new, {"text": document["text"]})
    return blobs


def test_documents_of_releases_lie_where_machines_only_read(operator: Operator) -> None:
    operator.run("release", "publish", *release(operator, 1, BASE))
    assert len(stored_blobs(operator, operator.database)) == 1
    assert not stored_blobs(operator, f"{operator.database}-status")


@pytest.mark.parametrize("command", ["publish", "prune"])
def test_documents_of_earlier_releases_are_read_and_moved(operator: Operator, command: str) -> None:
    operator.run("release", "publish", *release(operator, 1, BASE))
    operator.run("release", "publish", *release(operator, 2, WEB))
    blobs = old_store(operator)
    assert len(blobs) == 2
    if command == "prune":
        output = operator.run("release", "prune", "--dry-run")
        assert "2 documents are moved" in output
        assert stored_blobs(operator, f"{operator.database}-status") == blobs
        operator.run("release", "prune")
    else:
        manifest = release(operator, 3, BASE)[0]
        operator.run("release", "publish", manifest, operator.file(WEB, "base.yaml"))  # the document is in the store
    remaining = stored_blobs(operator, f"{operator.database}-status")
    assert stored_blobs(operator, operator.database) == blobs - remaining
    assert len(remaining) == (0 if command == "prune" else 1)


def test_a_replica_of_one_database_has_whole_releases(operator: Operator) -> None:
    operator.run("release", "publish", *release(operator, 1, BASE))
    operator.server.call("DELETE", f"{operator.database}-status")
    hash = hashlib.sha256(BASE.encode()).hexdigest()

    async def read() -> tuple[StoredEntry | None, StoredEntry | None]:
        database = open_database(operator.settings, password=lambda: operator.server.password)
        try:
            return await database.get(f"blobs/{hash}"), await database.get("blobs/missing")
        finally:
            await database.close()

    found, missing = asyncio.run(read())
    assert found is not None
    assert found.data == BASE.encode()
    assert missing is None


def in_conflict(operator: Operator, key: str) -> None:
    """Let another server have another version of ``key``: the one before this, with one blank more."""
    path = f"{operator.database}/{quote(key, safe='')}"
    document = operator.server.call("GET", path)
    generation = document["_rev"].partition("-")[0]
    operator.replicated(key, document["text"] + " ", f"{generation}-{'0' * 32}")


def test_holds_of_two_servers_are_named_and_settled(operator: Operator) -> None:
    operator.run("fleet", "hold", "--channel", "beta", "--why", "ours")
    in_conflict(operator, "releases/_holds")
    operator.run("release", "publish", *release(operator, 1, BASE))
    assert "two servers hold different machines" in operator.run("fleet", "status")
    assert "two servers hold different machines" in operator.run("release", "rollout", "stable", "--once", status=1)
    assert "kept are the holds of channel beta" in operator.run("fleet", "hold", "--channel", "gamma")
    assert "two servers" not in operator.run("fleet", "status")


def test_a_rollout_that_two_servers_steer_differently_goes_on_only_by_a_word(operator: Operator) -> None:
    """One of them may have stopped it."""
    operator.run("release", "publish", *release(operator, 1, BASE))
    operator.run("release", "rollout", "stable", "--once", "--open", "10%")
    in_conflict(operator, "releases/stable/rollout")
    assert "has 2 versions in conflict" in operator.run("release", "rollout", "stable", "--once", status=1)
    assert len(operator.leaves("releases/stable/rollout")) == 2
    operator.run("release", "rollout", "stable", "--once", "--stop", "another site", status=4)
    operator.run("release", "rollout", "stable", "--once", status=4)


def test_one_release_of_which_two_servers_have_versions_is_not_used(operator: Operator) -> None:
    operator.run("release", "publish", *release(operator, 1, BASE))
    in_conflict(operator, "releases/stable/1")
    words = ("release", "verify", "stable/1")
    assert "releases/stable/1 has 2 versions in conflict" in operator.run(*words, status=1)


def test_while_two_servers_have_different_policies_every_change_needs_a_reason(operator: Operator) -> None:
    operator.run("store", "policy", "optional")
    operator.put(BASE)
    in_conflict(operator, "releases/_policy")
    assert "wants a reason" in operator.run("documents", "put", operator.file(THEIRS), status=1)
    operator.run("store", "policy", "optional", "--why", "settled")
    operator.put(THEIRS)


def test_a_list_of_machines_in_conflict_is_not_used(operator: Operator) -> None:
    machines = operator.file("0" * 32, "machines")
    operator.run("fleet", "allow", machines)
    in_conflict(operator, "releases/_machines")
    assert "ordainctl fleet allow FILE" in operator.run("fleet", "status", status=3)
    operator.run("fleet", "allow", machines)
    operator.run("fleet", "status")


def test_a_fleet_that_two_servers_founded_is_named_and_settled(operator: Operator) -> None:
    operator.run("fleet", "token", "--name", "web3")
    in_conflict(operator, "machines/_fleet")
    assert "machines/_fleet has 2 versions" in operator.run("fleet", "identity")
    assert "fleet identity --require" in operator.run("fleet", "token", "--name", "web4", status=1)
    assert "machines/_fleet has 2 versions" not in operator.run("fleet", "identity", "--no-require")
    operator.run("fleet", "token", "--name", "web4")


def test_no_secret_is_sealed_in_a_document_in_conflict(operator: Operator) -> None:
    """The write would settle the conflict, and nobody would have looked at the other version."""
    value = operator.file("hunter2", "value")
    words = ("secret", "seal", "db", "--put", f"--file={value}")
    key = "0" * 43 + "="
    operator.run(*words, "--for", f"key={key}")
    in_conflict(operator, "documents/common/layer/secret-db")
    assert "no secret was sealed" in operator.run(*words, status=1)
    assert len(operator.leaves("documents/common/layer/secret-db")) == 2
