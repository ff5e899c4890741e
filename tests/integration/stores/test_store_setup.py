"""`ordainctl store init` sets a real store up with the rights of a fleet; `store check` reports what deviates."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import secrets
import shlex
import shutil
import subprocess
import time
import urllib.error
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from ordain.agent.cli.main import main
from ordain.agent.delivery.database.etcd import Etcd
from ordain.agent.delivery.database.http_transport import HttpTransport, ServerAccess
from ordain.agent.delivery.database.login import Login
from ordain.agent.delivery.database.semaphore import Semaphore
from ordain.agent.delivery.identity.key_file import read_machine_key
from ordain.agent.delivery.identity.machine_key import PrivateKey
from ordain.agent.delivery.identity.slot_guard import IdentityGuard
from rig.stores import store_servers
from support.pages.page_blocks import blocks

pytestmark = pytest.mark.integration
PAGE = Path(__file__).parents[3] / "docs/howto/machine-identity.md"
ROOT = "root:rootpw"


@pytest.fixture
def etcd(etcd_here: None) -> Iterator[store_servers.EtcdCluster]:
    """Return a new member of etcd without users."""
    with store_servers.EtcdCluster(count=1) as cluster:
        yield cluster


class Terminal:
    """`ordainctl store …` for one etcd, as its root."""

    def __init__(self, etcd: store_servers.EtcdCluster, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "root.password").write_text("rootpw\n")
        url = etcd.endpoints[0].replace("http", "etcd+http", 1)
        self.store = ("--store", f"{url}/ordain/", "--user", "root", "--password-file", str(folder / "root.password"))
        self.password = str(folder / "node.password")
        self._capsys = capsys

    def run(self, *words: str) -> tuple[int, str]:
        """Run `ordainctl store WORDS` and return its exit status and output."""
        status = main(["store", *words, *self.store])
        captured = self._capsys.readouterr()
        return status, captured.out + captured.err

    def output(self) -> tuple[str, str]:
        """Return what was printed meanwhile."""
        captured = self._capsys.readouterr()
        return captured.out, captured.err

    def deviations(self, *words: str) -> list[str]:
        """Return the deviations that `store check` reports."""
        _, out = self.run("check", "--json", *words)
        return [f"{one['place']} {one['what']}" for one in json.loads(out)["deviations"]]


@pytest.fixture
def terminal(etcd: store_servers.EtcdCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """Return a terminal beside a new etcd."""
    return Terminal(etcd, tmp_path, capsys)


def test_init_gives_machines_exactly_the_rights_that_they_need(
    etcd: store_servers.EtcdCluster, terminal: Terminal
) -> None:
    status, shown = terminal.run("init", "--machine-password-file", terminal.password, "--preview")
    assert "user node: create it" in shown
    assert not Path(terminal.password).exists(), "a preview changes nothing"
    assert terminal.run("check")[0] == 3

    status, done = terminal.run("init", "--machine-password-file", terminal.password, "--yes")

    assert status == 0, done
    assert Path(terminal.password).stat().st_mode & 0o777 == 0o600
    node = f"node:{Path(terminal.password).read_text().strip()}"
    etcd.ctl("put", "/ordain/documents/x", "1", user=ROOT)
    assert etcd.ctl("get", "/ordain/documents/x", user=node) == "/ordain/documents/x\n1\n"
    etcd.ctl("put", "/ordain/status/x", "1", user=node)
    etcd.ctl("put", "/ordain/locks/x/0", "1", user=node)
    etcd.ctl("put", "/ordain/enroll/x", "1", user=node)
    for key in ("/ordain/documents/x", "/ordain/releases/x", "/ordain/blobs/x", "/ordain/machines/x", "/other"):
        with pytest.raises(subprocess.CalledProcessError):
            etcd.ctl("put", key, "2", user=node)
    assert terminal.deviations() == []
    assert terminal.run("init", "--yes") == (
        0,
        f"{etcd.endpoints[0]}/ordain/: set up as a fleet needs it; nothing to do\n",
    )


def test_check_names_rights_that_are_missing_and_rights_that_are_too_many(
    etcd: store_servers.EtcdCluster, terminal: Terminal
) -> None:
    terminal.run("init", "--machine-password-file", terminal.password, "--yes")
    etcd.ctl("role", "revoke-permission", "ordain-machine", "/ordain/blobs/", "/ordain/blobs0", user=ROOT)
    etcd.ctl(
        "role", "grant-permission", "ordain-machine", "readwrite", "/ordain/documents/", "/ordain/documents0", user=ROOT
    )

    assert terminal.deviations() == [
        "role ordain-machine may not read /ordain/blobs/",
        "role ordain-machine lets machines write /ordain/documents/, and so change what other machines run",
    ]
    status, out = terminal.run("init", "--yes")
    assert status == 3, "a right is not taken away without an administrator"
    assert "etcdctl role revoke-permission ordain-machine /ordain/documents/" in out
    assert terminal.deviations() == [
        "role ordain-machine lets machines write /ordain/documents/, and so change what other machines run",
    ]


def test_a_writer_of_documents_need_not_be_root(etcd: store_servers.EtcdCluster, terminal: Terminal) -> None:
    password = f"{terminal.password}.writer"
    words = ("--writer-user", "ops", "--writer-password-file", password, "--machine-password-file", terminal.password)
    assert terminal.run("init", "--yes", *words)[0] == 0

    ops = f"ops:{Path(password).read_text().strip()}"
    etcd.ctl("put", "/ordain/documents/x", "1", user=ops)
    with pytest.raises(subprocess.CalledProcessError):
        etcd.ctl("put", "/elsewhere", "1", user=ops)
    assert terminal.deviations("--writer-user", "ops") == []


def test_an_enrolled_machine_gets_a_user_that_writes_its_own_report_only(
    etcd: store_servers.EtcdCluster, terminal: Terminal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.run("init", "--machine-password-file", terminal.password, "--yes")
    common = (*terminal.store[:2], "--user", "node", "--password-file", terminal.password)
    id, other = "a" * 32, "b" * 32
    for name, text in (("machine-id", id), ("hostname", "web3"), ("os-release", "ID=debian\nVERSION_ID=13")):
        (tmp_path / "machine/etc").mkdir(parents=True, exist_ok=True)
        (tmp_path / "machine/etc" / name).write_text(f"{text}\n")

    def fleet(*words: str, at: tuple[str, ...] = terminal.store, root: Path = tmp_path) -> tuple[int, str]:
        status = main(["fleet", *words, *at], root=root)
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    def join() -> PrivateKey:
        status = main(["fleet", "token", "--name", "web3", *terminal.store])
        assert status == 0
        (tmp_path / "token").write_text(capsys.readouterr().out)
        asked = fleet("enroll", "--token-file", str(tmp_path / "token"), at=common, root=tmp_path / "machine")
        assert asked[0] == 3, asked
        assert fleet("approve", "--vouched", at=common)[0] == 1, "a machine does not approve machines"
        assert "web3" in fleet("approve", "--vouched")[1]
        assert fleet("enroll", at=common, root=tmp_path / "machine")[0] == 0
        key = read_machine_key(tmp_path / "machine")
        assert key
        return key

    first = join()
    own = f"{first.user}:{first.password}"
    etcd.ctl("put", "/ordain/documents/x", "1", user=ROOT)
    assert etcd.ctl("get", "/ordain/documents/x", user=own) == "/ordain/documents/x\n1\n"
    for key in (f"status/{id}", f"enroll/{id}", "locks/stable/0"):
        etcd.ctl("put", f"/ordain/{key}", "1", user=own)
    for key in (f"status/{other}", f"enroll/{other}", f"machines/{id}", "documents/x", "releases/x", "status/", "x"):
        with pytest.raises(subprocess.CalledProcessError):
            etcd.ctl("put", f"/ordain/{key}", "2", user=own)

    shutil.rmtree(tmp_path / "machine/etc/credstore")  # it lost its disk
    second = join()
    assert second.user != first.user
    assert first.user not in etcd.ctl("user", "list", user=ROOT).split(), "the lost user is removed"
    etcd.ctl("put", f"/ordain/status/{id}", "1", user=f"{second.user}:{second.password}")
    assert terminal.deviations() == []
    etcd.ctl("user", "delete", second.user, user=ROOT)  # as after a restore, since a backup has no users
    assert terminal.deviations() == [f"machine web3 cannot log in: its user {second.user} does not exist"]
    assert fleet("revoke", "web3")[0] == 0
    assert terminal.deviations() == []
    assert second.user not in etcd.ctl("user", "list", user=ROOT).split()
    assert f"ordain-m-{id}" not in etcd.ctl("role", "list", user=ROOT).split()


@contextlib.asynccontextmanager
async def closed(store: Etcd) -> AsyncIterator[Etcd]:
    """Close a store at the end."""
    try:
        yield store
    finally:
        await store.close()


class Member:
    """A machine that was enrolled with a user of its own of etcd."""

    def __init__(self, terminal: Terminal, folder: Path, name: str, digit: str) -> None:
        self.root, self.id = folder / name, digit * 32
        (self.root / "etc").mkdir(parents=True)
        for file, text in (("machine-id", self.id), ("hostname", name), ("os-release", "ID=debian\nVERSION_ID=13")):
            (self.root / "etc" / file).write_text(f"{text}\n")
        token = self.root / "token"
        common = (*terminal.store[:2], "--user", "node", "--password-file", terminal.password)
        assert main(["fleet", "token", "--name", name, *terminal.store]) == 0
        token.write_text(terminal.output()[0])
        assert main(["fleet", "enroll", "--token-file", str(token), *common], root=self.root) == 3
        assert main(["fleet", "approve", "--vouched", *terminal.store]) == 0
        assert main(["fleet", "enroll", *common], root=self.root) == 0
        terminal.output()
        key = read_machine_key(self.root)
        assert key
        self.key = key

    def store(self, etcd: store_servers.EtcdCluster) -> Etcd:
        """Return the store as the machine uses it."""
        login = Login(user=self.key.user, password=lambda: self.key.password)
        return Etcd(HttpTransport(ServerAccess(endpoints=tuple(etcd.endpoints))), "/ordain/", login)

    def semaphore(self, store: Etcd, count: int = 1) -> Semaphore:
        """Return the slots of the channel stable, as the machine sees them."""
        guard = IdentityGuard(database=store, key=self.key)
        return Semaphore(
            database=store, prefix="locks/stable/", count=count, holder=self.id, guard=guard, may_be_own=True
        )

    def refusals(self, etcd: store_servers.EtcdCluster, *keys: str) -> list[str]:
        """Return those of ``keys`` that the machine can neither write nor delete."""
        refused = []
        for key in keys:
            results = []
            for words in (("put", f"/ordain/{key}", "x"), ("del", f"/ordain/{key}")):
                with contextlib.suppress(subprocess.CalledProcessError):
                    results.append(etcd.ctl(*words, user=f"{self.key.user}:{self.key.password}"))
            refused += [key] if not results else []
        return refused


def own_slots_commands() -> list[list[str]]:
    """Return the words after `ordainctl store` of the page's commands, without the store that they name."""
    (block,) = [block for block in blocks(PAGE, PAGE.parents[2]) if __file__.endswith(block.reason)]
    words = [shlex.split(line)[2:] for line in block.text.splitlines()]
    return [[word for word in line if word not in ("--store", "--user", "root") and "+" not in word] for line in words]


async def test_each_machine_of_etcd_writes_its_own_slot_only_where_init_says_so(
    etcd: store_servers.EtcdCluster, terminal: Terminal, tmp_path: Path
) -> None:
    async def run(*words: str) -> tuple[int, str]:
        return await asyncio.to_thread(terminal.run, *words)

    await run("init", "--machine-password-file", terminal.password, "--yes")
    refused = (await run("init", "--slots", "own", "--yes"))[1]
    assert "fleet has no identities, which machines need to write their own slots only" in refused
    node = f"node:{await asyncio.to_thread(Path(terminal.password).read_text)}".strip()
    a, b = [await asyncio.to_thread(Member, terminal, tmp_path, f"web{n}", digit) for n, digit in ((1, "a"), (2, "b"))]
    async with closed(a.store(etcd)) as at_a, closed(b.store(etcd)) as at_b:
        earlier = a.semaphore(at_a)
        assert await earlier.acquire()
        assert (
            "machines hold slots that have numbers: locks/stable/0" in (await run("init", "--slots", "own", "--yes"))[1]
        )
        await earlier.release()

        preview, change = own_slots_commands()
        shown = (await run(*preview))[1]
        assert "fleet: let each machine write its own slot only" in shown
        assert "role ordain-member: let it only read /ordain/locks/" in shown
        assert a.refusals(etcd, "locks/stable/0") == [], "a preview changes nothing"
        status, done = await run(*change, "--yes")

        assert status == 0, done
        assert (await run("check"))[0] == 0
        own, other = f"locks/_own/{a.id}", f"locks/_own/{b.id}"
        assert a.refusals(etcd, own, other, "locks/stable/0", "locks/_own/", "locks/", f"locks/_own/{a.id}x") == [
            other, "locks/stable/0", "locks/_own/", "locks/", f"locks/_own/{a.id}x",
        ]  # fmt: skip
        with pytest.raises(subprocess.CalledProcessError):
            etcd.ctl("put", "/ordain/locks/stable/0", "x", user=node)
        first, second = a.semaphore(at_a), b.semaphore(at_b)
        assert await first.acquire()
        assert not await second.acquire()
        assert await first.renew()
        await first.release()
        assert await second.acquire()
        assert etcd.ctl("get", "--prefix", "--keys-only", "/ordain/locks/", user=ROOT).split() == [f"/ordain/{other}"]

        c = await asyncio.to_thread(Member, terminal, tmp_path, "web3", "c")
        assert c.refusals(etcd, f"locks/_own/{c.id}", other, "locks/stable/0") == [other, "locks/stable/0"]
        assert (await run("check"))[0] == 0
        etcd.ctl(
            "role", "grant-permission", "ordain-member", "readwrite", "/ordain/locks/", "/ordain/locks0", user=ROOT
        )
        etcd.ctl("role", "revoke-permission", f"ordain-m-{a.id}", f"/ordain/{own}", user=ROOT)
        assert await asyncio.to_thread(terminal.deviations) == [
            f"role ordain-m-{a.id} may not write /ordain/{own}",
            "role ordain-member lets machines write the slots of others, /ordain/locks/",
        ]
        assert (await run("init", "--yes"))[0] == 0

        assert (await run("init", "--slots", "shared", "--yes"))[0] == 0
        assert (await run("check"))[0] == 0
        assert not await a.semaphore(at_a).acquire(), "the slot of the other kind is still held"
        await second.release()
        again = a.semaphore(at_a)
        assert await again.acquire()
        assert await at_a.get("locks/stable/0")


def test_only_root_of_etcd_can_look_at_rights(terminal: Terminal) -> None:
    terminal.run("init", "--machine-password-file", terminal.password, "--yes")
    terminal.store = (*terminal.store[:2], "--user", "node", "--password-file", terminal.password)

    status, out = terminal.run("check")

    assert status == 1
    assert "use --user root" in out


def test_without_a_terminal_and_without_consent_nothing_is_changed(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    status, out = terminal.run("init", "--machine-password-file", terminal.password)
    assert status == 2
    assert "--yes" in out
    assert len(terminal.deviations()) > 5


def fill(cluster: store_servers.EtcdCluster) -> None:
    """Write until etcd takes no more."""
    for number in range(50):
        try:
            cluster.ctl("put", f"/ordain/documents/{number}", user=ROOT, stdin="x" * 1_000_000)
        except subprocess.CalledProcessError as error:
            if "database space exceeded" in error.stderr:
                return
    raise AssertionError("etcd has no quota")


def test_a_member_that_is_away_and_a_member_that_is_full_are_named(
    etcd_here: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with store_servers.EtcdCluster(options=("--quota-backend-bytes=16000000",)) as cluster:
        terminal = Terminal(cluster, tmp_path, capsys)
        endpoints = ",".join(url.removeprefix("http://") for url in cluster.endpoints)
        terminal.store = ("--store", f"etcd+http://{endpoints}/ordain/", *terminal.store[2:])
        assert terminal.run("init", "--machine-password-file", terminal.password, "--yes")[0] == 0
        fill(cluster)
        leader = cluster.leader()
        away = next(member for member in cluster.members if member is not leader)  # so that nobody is elected meanwhile
        away.end()

        deviations = terminal.deviations()

        assert any(line.startswith(f"{away.url} does not answer") for line in deviations)
        assert any(line.endswith("% full") for line in deviations), deviations
        assert any("NOSPACE" in line for line in deviations)

        leader.end()
        status, out = terminal.run("check")
        assert status == 3, out
        assert "/ordain/ does not tell its rights: " in out
        for member in (away, leader):
            assert f"{member.url} does not answer" in out


class CouchTerminal:
    """`ordainctl store …` for a database of its own on a server of CouchDB's protocol."""

    def __init__(self, server: store_servers.CouchServer, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.server = server
        self.database, self.node, self.ops = (f"{word}{secrets.token_hex(4)}" for word in ("t", "node", "ops"))
        self.passwords = folder / "node.password", folder / "ops.password"
        (folder / "password").write_text(server.password)
        self._words = (
            *("--store", f"couchdb+{server.url}/{self.database}", "--machine-user", self.node),
            *(("--user", server.user, "--password-file", str(folder / "password")) if server.user else ()),
        )
        self._capsys = capsys

    def run(self, *words: str) -> tuple[int, str]:
        """Run `ordainctl store WORDS` and return its exit status and output."""
        status = main(["store", *words, *self._words])
        captured = self._capsys.readouterr()
        return status, captured.out + captured.err

    def init(self) -> tuple[int, str]:
        """Run `store init` with both users."""
        node, ops = map(str, self.passwords)
        words = ("--machine-password-file", node, "--writer-user", self.ops, "--writer-password-file", ops)
        return self.run("init", "--yes", *words)

    def close(self) -> None:
        """Remove users and databases."""
        for path in (self.database, f"{self.database}-status"):
            with contextlib.suppress(urllib.error.HTTPError):
                self.server.call("DELETE", path)
        for user in (self.node, self.ops):
            path = f"_users/org.couchdb.user:{user}"
            with contextlib.suppress(urllib.error.HTTPError):
                self.server.call("DELETE", f"{path}?rev={self.server.call('GET', path)['_rev']}")


@pytest.fixture
def couch(
    rightful_pouch: store_servers.CouchServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[CouchTerminal]:
    """Return a terminal for a store that does not exist yet."""
    terminal = CouchTerminal(rightful_pouch, tmp_path, capsys)
    yield terminal
    terminal.close()


def test_init_gives_users_of_couchdb_exactly_the_rights_that_they_need(couch: CouchTerminal) -> None:
    status, out = couch.init()
    assert status == 0, out
    node, ops = (path.read_text().strip() for path in couch.passwords)
    url, name = couch.server.url, couch.database

    store_servers.call_couchdb(url, "PUT", f"{name}/documents%2Fx", {}, user=couch.ops, password=ops)
    assert store_servers.call_couchdb(url, "GET", f"{name}/documents%2Fx", user=couch.node, password=node)
    store_servers.call_couchdb(url, "PUT", f"{name}-status/status%2Fx", {}, user=couch.node, password=node)
    for key in ("documents%2Fy", "releases%2Fx", "blobs%2Fx", "_design%2Fordain"):
        with pytest.raises(urllib.error.HTTPError):
            store_servers.call_couchdb(url, "PUT", f"{name}/{key}", {}, user=couch.node, password=node)
    assert couch.server.call("GET", f"{name}-status/_revs_limit") == 10
    assert couch.run("check", "--writer-user", couch.ops)[0] == 0


REFUSED = [  # (who, method, path, status, the server's reason); @ is the database
    ("node", "PUT", "@new", 401, "You are not a server admin."),
    ("node", "DELETE", "@", 401, "You are not a server admin."),
    ("node", "PUT", "@/_security", 500, "no_majority"),
    ("node", "PUT", "@/_design/x", 403, "You are not a db or server admin."),
    ("ops", "PUT", "@/_design/x", 403, "You are not a db or server admin."),
    ("node", "PUT", "@/documents%2Fx", 403, "machines only read here"),
    ("node", "GET", "@private", 403, "You are not allowed to access this db."),
    ("node", "GET", "_users/org.couchdb.user:admin", 403, "You are not allowed to access this db."),
    ("nobody", "GET", "@", 401, "You are not authorized to access this db."),
    ("wrong", "GET", "@", 401, "Name or password is incorrect."),
]


def test_the_server_refuses_users_as_couchdb_does(couch: CouchTerminal) -> None:
    """The answers of CouchDB 3.5.2: this holds the stand-in to them, or the server that ORDAIN_COUCHDB names."""
    assert couch.init()[0] == 0
    store_servers.create_database(couch.server, f"{couch.database}private")
    node, ops = (path.read_text().strip() for path in couch.passwords)
    logins = {"node": (couch.node, node), "ops": (couch.ops, ops), "nobody": ("", ""), "wrong": (couch.node, "no")}
    answers = []
    for who, method, path, _, _ in REFUSED:
        user, password = logins[who]
        place = path.replace("@", couch.database)
        body: object = {} if method == "PUT" else None
        with pytest.raises(urllib.error.HTTPError) as refused:
            store_servers.call_couchdb(couch.server.url, method, place, body, user=user, password=password)
        answers.append((who, method, path, refused.value.code, json.load(refused.value)["reason"]))
    couch.server.call("DELETE", f"{couch.database}private")
    assert answers == REFUSED


def test_check_names_rights_in_couchdb_that_are_missing_and_too_many(couch: CouchTerminal) -> None:
    couch.init()
    design = couch.server.call("GET", f"{couch.database}/_design/ordain")
    couch.server.call("DELETE", f"{couch.database}/_design/ordain?rev={design['_rev']}")
    path = f"_users/org.couchdb.user:{couch.node}"
    couch.server.call("PUT", path, {**couch.server.call("GET", path), "roles": ["ordain-writer"]})

    status, out = couch.run("check")

    assert status == 3
    assert f"database {couch.database} lets machines write documents" in out
    assert f"user {couch.node} has the role ordain-writer: machines can change what other machines run" in out
    assert couch.init()[0] == 3, "a right is not taken away without an administrator"


@pytest.fixture
def replicating(couch: CouchTerminal) -> Iterator[CouchTerminal]:
    """Return the terminal of a server that replicates; what the test has started ends with it."""
    yield couch
    for row in couch.server.call("GET", "_replicator/_all_docs")["rows"]:
        if row["id"].startswith(couch.database):
            couch.server.call("DELETE", f"_replicator/{row['id']}?rev={row['value']['rev']}")


def test_a_second_site_pulls_whole_releases_and_check_sees_when_it_cannot(
    replicating: CouchTerminal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = replicating, CouchTerminal(replicating.server, tmp_path, capsys)
    assert first.init()[0] == second.init()[0] == 0
    server, (node, ops) = first.server, [path.read_text().strip() for path in first.passwords]
    pull = {"source": {"url": f"{server.url}/{first.database}", "auth": basic(first.node, node)}, "continuous": True}
    target = {"url": f"{server.url}/{second.database}", "auth": basic(server.user, server.password)}
    server.call("PUT", f"_replicator/{first.database}-good", {**pull, "target": target})
    lost = {**pull["source"], "url": f"{server.url}/{first.database}-missing"}  # type: ignore[dict-item]
    store_servers.call_couchdb(server.url, "PUT", f"{first.database}/documents%2Fx", {}, user=first.ops, password=ops)

    wait_until(lambda: "documents/x" in ids(server, second.database))
    wait_until(lambda: "0 changes (running)" in second.run("check")[1])
    assert second.run("check")[0] == 0
    assert "_design/ordain" in ids(server, second.database)

    server.call("PUT", f"_replicator/{first.database}-lost", {**pull, "source": lost, "target": target})
    wait_until(lambda: "-lost is crashing: db_not_found" in second.run("check")[1])
    assert second.run("check")[0] == 3

    third = CouchTerminal(server, tmp_path, capsys)
    assert third.init()[0] == 0
    password = third.passwords[0].read_text().strip()
    refused = {"url": f"{server.url}/{third.database}", "auth": basic(third.node, password)}
    server.call("PUT", f"_replicator/{first.database}-refused", {**pull, "target": refused})
    wait_until(lambda: "that its target refused" in third.run("check")[1])
    assert "documents/x" not in ids(server, third.database)
    second.close()
    third.close()


def basic(user: str, password: str) -> dict[str, dict[str, str]]:
    return {"basic": {"username": user, "password": password}}


def ids(server: store_servers.CouchServer, database: str) -> list[str]:
    return [row["id"] for row in server.call("GET", f"{database}/_all_docs")["rows"]]


def wait_until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60.0
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_directory_that_others_can_write_is_closed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    assert main(["store", "init", "--yes", "--store", str(store)]) == 0
    store.chmod(0o777)
    assert main(["store", "check", "--store", str(store)]) == 3
    assert "can be written by others than its owner (mode 0777)" in capsys.readouterr().out
    assert main(["store", "init", "--yes", "--store", str(store)]) == 0
    assert store.stat().st_mode & 0o777 == 0o755


def test_a_backup_is_restored_from_the_terminal(
    etcd: store_servers.EtcdCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ("--store", f"etcd+{etcd.endpoints[0]}/ordain/")
    backup = str(tmp_path / "backup")
    etcd.ctl("put", "/ordain/documents/common/layer/a", "first")
    assert main(["store", "backup", backup, *store]) == 0
    etcd.ctl("put", "/ordain/documents/common/layer/a", "second")
    capsys.readouterr()

    assert main(["store", "restore", backup, "--yes", *store]) == 1
    captured = capsys.readouterr()
    assert "1 key to write, 1 of them replace others" in captured.out
    assert "use --replace to overwrite them" in captured.err
    assert main(["store", "restore", backup, "--yes", "--replace", *store]) == 0
    assert etcd.ctl("get", "--print-value-only", "/ordain/documents/common/layer/a") == "first\n"
    assert main(["documents", "list", "--store", backup]) == 0, "a backup is a store in a directory"
