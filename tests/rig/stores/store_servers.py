"""Real servers of etcd and of CouchDB's protocol: processes that tests can kill, freeze and start again."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from rig.debian_roots import CACHE, CLEAN_ENVIRONMENT, made_once

LOOPBACK = "127.0.0.1"
PATIENCE_SEC = 60.0
DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL")
"""Before a command: it is killed when this process ends, however that happens."""
COUCHDB_RULES = tuple(Path(__file__).with_name(f"couchdb_{name}.js") for name in ("rights", "replicator", "rules"))
"""The programs that make pouchdb-server refuse what CouchDB refuses, in their order."""
MEMORY = Path("/dev/shm")
"""The place for the data of stores: members of etcd that wait for a disk elect another leader."""


def missing_for_etcd() -> str:
    """Return the reason why etcd cannot run here, or ""."""
    absent = [tool for tool in ("etcd", "etcdctl") if shutil.which(tool, path=CLEAN_ENVIRONMENT["PATH"]) is None]
    return f"needs {', '.join(absent)}" if absent else ""


def missing_for_pouchdb() -> str:
    """Return the reason why pouchdb-server cannot run here, or ""."""
    absent = [tool for tool in ("node", "npm") if shutil.which(tool, path=CLEAN_ENVIRONMENT["PATH"]) is None]
    return f"needs {', '.join(absent)}" if absent else ""


def free_ports(count: int) -> list[int]:
    """Return unused ports of the loopback interface, below those that the kernel gives to clients."""
    found: list[int] = []
    with contextlib.ExitStack() as stack:
        while len(found) < count:
            port = random.randrange(10_000, 32_000)
            with contextlib.suppress(OSError):
                stack.enter_context(socket.socket()).bind((LOOPBACK, port))
                found.append(port)
    return found


class ServerProcess:
    """A server that tests can freeze and kill; a subclass starts its ``process``."""

    process: subprocess.Popen[bytes] | None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        assert self.process is not None
        self.process.send_signal(number)

    def end(self) -> None:
        """Kill the process, as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@dataclass
class EtcdMember(ServerProcess):
    """One member of a cluster of etcd."""

    name: str
    url: str
    peer: str
    data: Path
    process: subprocess.Popen[bytes] | None = None


@dataclass(slots=True)
class EtcdCluster:
    """A cluster of etcd, which ends with the context; ``options`` are given to every member.

    Members listen on ``host``. ``enter`` is put before their commands, to enter a network namespace.
    """

    count: int = 3
    options: Sequence[str] = ()
    tls: TlsFiles | None = None
    host: str = LOOPBACK
    enter: Sequence[str] = ()
    members: list[EtcdMember] = field(default_factory=list)
    directory: Path = field(init=False)

    def __enter__(self) -> Self:
        self.directory = Path(tempfile.mkdtemp(prefix="ordain-etcd-", dir=MEMORY))
        found = free_ports(2 * self.count)
        scheme = "https" if self.tls else "http"
        self.members = [
            EtcdMember(
                name=f"m{number}",
                url=f"{scheme}://{self.host}:{found[2 * number]}",
                peer=f"http://{self.host}:{found[2 * number + 1]}",
                data=self.directory / f"m{number}",
            )
            for number in range(self.count)
        ]
        try:
            self.start(*self.members)
            self.ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in self.members:
            member.end()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, *members: EtcdMember) -> None:
        """Start members that do not run."""
        everyone = ",".join(f"{member.name}={member.peer}" for member in self.members)
        for member in members:
            command = [
                *(*self.enter, *DIE_WITH_PARENT, "etcd", f"--name={member.name}", f"--data-dir={member.data}"),
                *(f"--listen-client-urls={member.url}", f"--advertise-client-urls={member.url}"),
                *(f"--listen-peer-urls={member.peer}", f"--initial-advertise-peer-urls={member.peer}"),
                *(f"--initial-cluster={everyone}", "--heartbeat-interval=50", "--election-timeout=500"),
                *(self.tls.etcd_options() if self.tls else ()),
                *self.options,
            ]
            with (self.directory / f"{member.name}.log").open("ab") as log:
                member.process = subprocess.Popen(
                    command, env=CLEAN_ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )

    def ready(self, *, user: str = "") -> None:
        """Wait until there is a leader."""
        deadline = time.monotonic() + PATIENCE_SEC
        while True:
            try:
                self.ctl("endpoint", "health", user=user)
            except subprocess.CalledProcessError as error:
                if time.monotonic() > deadline:
                    logs = "\n".join(path.read_text()[-2000:] for path in sorted(self.directory.glob("*.log")))
                    raise TimeoutError(f"no cluster: {error.stderr}\n{logs}") from error
                time.sleep(0.05)
            else:
                return

    def ctl(self, *words: str, user: str = "", stdin: str = "", member: EtcdMember | None = None) -> str:
        """Run etcdctl and return its output."""
        up = [member] if member else [each for each in self.members if each.process is not None]
        command = [
            *(*self.enter, "etcdctl", f"--endpoints={','.join(each.url for each in up)}"),
            # A login takes seconds on a host that is at work.
            *([f"--user={user}", "--command-timeout=60s", "--dial-timeout=30s"] if user else []),
            *([f"--cacert={self.tls.ca}"] if self.tls else []),
            *words,
        ]
        environment = {**CLEAN_ENVIRONMENT, "ETCDCTL_API": "3"}
        done = subprocess.run(command, env=environment, input=stdin, check=True, capture_output=True, text=True)
        return done.stdout

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Return the URLs for clients."""
        return tuple(member.url for member in self.members)

    def leader(self) -> EtcdMember:
        """Return the current leader."""
        deadline = time.monotonic() + PATIENCE_SEC
        while time.monotonic() < deadline:
            for member in self.members:
                with contextlib.suppress(OSError, ValueError):
                    status = self.call(member, "maintenance/status", {})
                    if status.get("leader") == status["header"]["member_id"]:
                        return member
            time.sleep(0.05)
        raise TimeoutError("the cluster has no leader")

    def revision(self) -> int:
        """Return the revision of the store."""
        status = json.loads(self.ctl("endpoint", "status", "--write-out=json", member=self.members[0]))
        return int(status[0]["Status"]["header"]["revision"])

    @staticmethod
    def call(member: EtcdMember, path: str, body: dict[str, Any]) -> Any:
        """Call the gateway of a member without TLS and users; return the answer."""
        request = urllib.request.Request(f"{member.url}/v3/{path}", data=json.dumps(body).encode())
        return _answer(request, timeout=5)

    def enable_auth(self, *, user: str = "node", password: str = "secret", prefix: str = "/ordain/") -> None:
        """Create the users root and ``user``, who may read and write below ``prefix``, and require authentication."""
        self.ctl("user", "add", "root:root")
        self.ctl("user", "grant-role", "root", "root")
        self.ctl("role", "add", "ordain")
        self.ctl("role", "grant-permission", "ordain", "readwrite", "--prefix=true", prefix)
        self.ctl("user", "add", f"{user}:{password}")
        self.ctl("user", "grant-role", user, "ordain")
        self.ctl("auth", "enable")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """The PEM files of an authority and of a server."""

    ca: Path
    cert: Path
    key: Path

    def etcd_options(self) -> Iterator[str]:
        """Yield the options that make etcd use these files."""
        yield f"--cert-file={self.cert}"
        yield f"--key-file={self.key}"


@dataclass
class PouchServer(ServerProcess):
    """pouchdb-server, which implements CouchDB's protocol, with the databases of a store.

    `FakeCouchDb` does what it cannot. With a ``user`` and a ``password``, those of its administrator, it has users and
    rights (`couchdb_rights.js`), which it forgets when it ends.
    """

    host: str = LOOPBACK
    port: int = 0
    user: str = ""
    password: str = ""
    directory: Path = field(init=False)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return the URL of the server."""
        return f"http://{self.host}:{self.port}"

    def __enter__(self) -> Self:
        self.directory = Path(tempfile.mkdtemp(prefix="ordain-pouch-", dir=MEMORY))
        (self.port,) = free_ports(1)
        try:
            self.start()
            for name in ("ordain", "ordain-status"):
                self.call("PUT", name)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self) -> None:
        """Start the server with its previous data, and wait until it answers."""
        program = pouchdb_folder() / "node_modules/pouchdb-server/bin/pouchdb-server"
        command = [
            *DIE_WITH_PARENT,
            "node",
            *(f"--require={program}" for program in COUCHDB_RULES),
            str(program),
            f"--host={self.host}",
            f"--port={self.port}",
            f"--dir={self.directory}",
        ]
        login = {"COUCHDB_ADMIN": f"{self.user}:{self.password}"} if self.user else {}
        environment = {**CLEAN_ENVIRONMENT, **login}
        with (self.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + PATIENCE_SEC
        while True:
            try:
                self.call("GET", "")
            except urllib.error.HTTPError:
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.05)
            else:
                return

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Send one request and return the answer."""
        return call_couchdb(self.url, method, path, body, user=self.user, password=self.password)


@dataclass
class GivenCouchDb:
    """A running server of CouchDB's protocol that `ORDAIN_COUCHDB` names; the databases made here end with the context.

    Tests cannot kill or freeze it.
    """

    url: str
    user: str
    password: str
    _databases: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in self._databases:
            with contextlib.suppress(urllib.error.HTTPError):
                self.call("DELETE", name)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Send one request and return the answer."""
        if method == "PUT" and "/" not in path:
            self._databases.append(path)
        return call_couchdb(self.url, method, path, body, user=self.user, password=self.password)


def given_couchdb() -> GivenCouchDb | None:
    """Return the server that the environment names as ``ORDAIN_COUCHDB=http://user:password@host:port``."""
    if not (text := os.environ.get("ORDAIN_COUCHDB", "")):
        return None
    parts = urlsplit(text)
    url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return GivenCouchDb(url=url, user=parts.username or "", password=parts.password or "")


def call_couchdb(url: str, method: str, path: str, body: object = None, *, user: str = "", password: str = "") -> Any:
    """Send one request to a server of CouchDB's protocol and return the answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    if user:
        headers["Authorization"] = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
    request = urllib.request.Request(f"{url}/{path}", data=data, method=method, headers=headers)
    return _answer(request, timeout=20)


def _answer(request: urllib.request.Request, timeout: float) -> Any:
    """Return the JSON of an answer. An HTTPError has its text, and no open socket, which a later test would report."""
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            text = io.BytesIO(error.read())
        raise urllib.error.HTTPError(error.url, error.code, error.reason, error.headers, text) from None


def create_database(server: CouchServer, name: str) -> None:
    """Create a database and wait until it can be read.

    pouchdb-server makes a database again for a reader that asks while it is being deleted, and answers 412
    (``file_exists``) then: what counts is that the database is there.
    """
    deadline = time.monotonic() + PATIENCE_SEC
    while True:
        try:
            server.call("PUT", name)
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.PRECONDITION_FAILED:
                raise
        try:
            server.call("GET", name)
        except urllib.error.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def pouchdb_folder() -> Path:
    """Return a directory with pouchdb-server from npm, which is made once."""
    name = "pouchdb-server-4.2.0"
    with made_once(CACHE / "npm" / name) as made:
        if made is not None:
            made.mkdir(parents=True, exist_ok=True)
            for words in (("install", name.replace("server-", "server@")), ("rebuild", "leveldown")):
                subprocess.run(["npm", "--no-audit", "--no-fund", *words], check=True, cwd=made, capture_output=True)
    return CACHE / "npm" / name


CouchServer = PouchServer | GivenCouchDb
