"""The readers of requests of machines, of messages of the bus, and of jobs of schedulers, as fuzz functions."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import io
import json
import logging
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from aiohttp.test_utils import make_mocked_request
from dbus_next.message import Message
from dbus_next.signature import Variant

from ordain.agent.daemon.clients.client import BUS_NAME, OBJECT_PATH
from ordain.agent.daemon.dbus_service import READS, AgentInterface
from ordain.agent.daemon.status.status_publisher import StatusPublisher
from ordain.agent.delivery.database.database import Conflict
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.identity.machine_key import PrivateKey
from ordain.agent.delivery.identity.machine_record import (
    FLEET_KEY,
    FleetRecord,
    MachineRecord,
    encode_key,
    encode_record,
)
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.errors import Denied
from ordain.agent.netboot.machine_records import MachineRecords
from ordain.agent.server.boot_scripts import BootScripts
from ordain.agent.server.machine_documents import MachineDocuments, split_documents
from ordain.agent.server.prebuilt_caches import BootRequest
from ordain.agent.server.relay.relay import Relay
from ordain.agent.server.relay.relay_requests import RelayRequests, _checked
from ordain.agent.server.server import identify_machine
from ordain.agent.status import Status
from ordain.agent.system.dbus.call_limits import CallLimits
from ordain.agent.system.dbus.dbus_guard import GuardedMessageBus, _Frame
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.document.reader import read, read_node
from ordain.transforms.document.text.node import Node, Unreadable
from ordain.transforms.errors import Problem, Refused, only_errors
from ordain.transforms.model import Document, Kind
from ordain.transforms.netboot.boot_target import netboot_documents
from ordain.transforms.netboot.machine_query import facts_of_query
from ordain.transforms.runs.jsdl import export_jsdl, import_jsdl
from ordain.transforms.runs.run_draft import RunDraft, node_yaml
from ordain.transforms.runs.run_render import render_runs, script_text
from ordain.transforms.runs.run_xml import read_xml_nodes, write_xml
from ordain.transforms.runs.scheduler_rows import RunSystems, run_systems
from ordain.transforms.runs.script_dialects import DIALECTS
from ordain.transforms.runs.script_import import convert
from ordain.transforms.runs.xml_elements import read_elements

SCHEDULERS = tuple(DIALECTS)
NOW = 1_800_000_000.0


# -- requests of machines --------------------------------------------------------------------------------------------

SERVED = b"""\
ordain: v1
kind: Layer
name: netboot
netboot:
  kernel: http://boot/kernel
  initrds: [http://boot/initrd, {template: "http://boot/{{ facts.system_product_name }}"}]
  arguments: {quiet: true, serial: {template: "{{ facts.system_serial_number }}"}}
---
ordain: v1
kind: Node
name: web1
match: {mac: "52:54:00:00:00:01"}
---
ordain: v1
kind: Layer
name: web
match: {hostname: web*}
services: {web: {command: /bin/web}}
"""
REQUESTS = (
    b"GET /web1.yaml\nOrdain-Machine-Id: 0123456789abcdef0123456789abcdef\nOrdain-Hostname: web1\n"
    b"Ordain-Mac: 52:54:00:00:00:01, 52:54:00:00:00:02\nOrdain-Channel: stable\n"
    b"Ordain-Boot: image=ab root=ram ordain.labels=a=b",
    b"GET /boot.ipxe?mac=52-54-00-00-00-01&uuid=00000000-0000-0000-0000-000000000001&serial=a%20b&product=x"
    b"&arch=x86_64&firmware=efi\nHost: boot",
)


@functools.cache
def _served() -> tuple[MachineDocuments, tuple[Document, ...]]:
    content = split_documents([("a.yaml", SERVED)])
    return content, netboot_documents(content.parsed("stable"))


def requests(data: bytes) -> None:
    """Answer a request: its path, and lines of headers, as `ordainctl serve` does."""
    line, *lines = data.decode("utf-8", "surrogateescape").split("\n")
    headers = [(name, value.strip()) for name, colon, value in (header.partition(":") for header in lines) if colon]
    try:
        request = make_mocked_request("GET", line.removeprefix("GET "), dict(headers))
        request.query  # noqa: B018  # it is decoded when it is asked for
    except ValueError:  # aiohttp refuses it, or yarl its URL
        return
    content, documents = _served()
    identity = identify_machine(request)
    if identity is not None:
        for proven in (False, True):
            content.for_machine(identity, proven=proven)
    BootRequest.read(request.headers.get("Ordain-Boot", "")).source  # noqa: B018
    facts = facts_of_query(request.query)
    if facts is not None:
        script = BootScripts(None, MachineRecords()).script_for(documents, facts, NOW)
        script.encode()
        assert script.startswith("#!ipxe\n"), script
        commands = [line for line in script.splitlines() if not line.startswith("#")]
        assert all(line.count("||") < 2 and line.count("${") == 0 for line in commands), script


class _Relay:
    """A relay of a store in a directory, with one machine, and the requests to it."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.key = PrivateKey(fleet="0123456789abcdef", seed=b"\x01" * 32)
        self.requests = self.runner.run(self._make(Path(self.folder.name)))

    async def _make(self, folder: Path) -> RelayRequests:
        (folder / "store").mkdir()
        store = DirectoryDatabase(folder / "store")
        record = MachineRecord(machine="0" * 32, key=encode_key(self.key.public))
        await store.put(FLEET_KEY, encode_record(FleetRecord(fleet=self.key.fleet)), expect=None)
        await store.put(f"machines/{record.machine}", encode_record(record), expect=None)
        relay = Relay(name="relay1", database=store, state=folder)
        relay.load()
        await relay.refresh()
        return RelayRequests(relay)

    async def answer(self, body: object) -> None:
        handlers = (self.requests._list, self.requests._get, self.requests._put, self.requests._delete)
        for handler in handlers:
            if not isinstance(body, dict):
                return
            with contextlib.suppress(SourceError, Conflict):
                json.dumps(await _checked(handler, body))

    def seeds(self) -> Iterator[bytes]:
        key = f"status/{'0' * 32}"
        report = self.key.sign(key, {"machine": "0" * 32, "sequence": 7, "seen": 1})
        slot = self.key.sign("locks/stable/0", {"holder": "0" * 32, "beat": 1})
        common = {"expect": None, "ttl": 300, "provided": {"prefixes": ["locks/"], "revision": "x"}}
        for place, statement in ((key, report), ("locks/stable/0", slot)):
            data = base64.b64encode(json.dumps(statement).encode()).decode()
            yield json.dumps({"key": place, "data": data, **common}).encode()
        yield json.dumps({"prefixes": ["documents/common/"], "key": key, "proof": report, "expect": "1"}).encode()


relay_of_tests = functools.cache(_Relay)


def relay_requests(data: bytes) -> None:
    """Answer a request to a relay, as if its body had been sent to each path."""
    with contextlib.suppress(ValueError, RecursionError):
        body = json.loads(data)
        relay_of_tests().runner.run(relay_of_tests().answer(body))


# -- messages of the bus ---------------------------------------------------------------------------------------------


class _Nobody:
    """The authority over a caller who is not root, and the client of an agent that does nothing for others."""

    async def is_root(self, sender: str) -> bool:
        return False

    async def demand(self, sender: str, question: object) -> None:
        raise Denied("no")

    async def status(self) -> Status:
        return Status(agent=True)

    async def explain(self, about: str) -> object:
        raise Denied(about)

    def __getattr__(self, name: str) -> Any:
        async def forbidden(*_: object, **__: object) -> None:
            raise AssertionError(f"nobody may call {name}")

        return forbidden


class _InternalError(logging.Handler):
    """Raises what the guard logs as an internal error."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            raise AssertionError(record.getMessage())


class _Bus:
    """The public connection of the agent, whose other side is in this process."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(f"{self.folder.name}/bus")
        self.listening.listen(1)
        self.sent: list[Message] = []
        self.bus = self.runner.run(self._make())
        logging.getLogger("ordain.agent.system.dbus.dbus_guard").addHandler(_InternalError())

    async def _make(self) -> GuardedMessageBus:
        bus = GuardedMessageBus(f"unix:path={self.folder.name}/bus", limits=self._limits())
        status = StatusPublisher(cast(Any, None), Status(agent=True))
        bus.reads = READS
        bus.send = self.sent.append  # type: ignore[method-assign, assignment]
        bus.export(OBJECT_PATH, AgentInterface(cast(Any, _Nobody()), status, cast(Any, _Nobody())))
        return bus

    def _limits(self) -> CallLimits:
        async def user_of(sender: str) -> int:
            if not sender:
                raise Denied("the caller has disconnected")
            return 65534

        self.limits = CallLimits(user_of)
        self.limits.exceeded = lambda user, now: ""  # type: ignore[method-assign]
        return self.limits

    async def receive(self, data: bytes) -> None:
        self.sent.clear()
        self.limits._users.clear()
        before = asyncio.all_tasks()
        stream = io.BytesIO(data)
        with contextlib.suppress(EOFError, ValueError):  # the end of the stream, or a stream that is not D-Bus
            while (frame := _Frame(stream)).is_complete():
                try:
                    self.bus._receive(frame)
                except (EOFError, ValueError) as error:
                    raise AssertionError(f"a message ends the connection: {error!r}") from error
        while tasks := asyncio.all_tasks() - before:  # whose call it is, and then its answer
            await asyncio.gather(*tasks, return_exceptions=True)  # the guard answers errors
        assert not self.limits.in_flight, "a call is never answered"
        assert not self.bus._held
        for message in self.sent:
            assert "Traceback" not in str(message.body)
            assert "internal error" not in str(message.body), message.body


_bus = functools.cache(_Bus)


def bus_messages(data: bytes) -> None:
    """Receive messages at the public name of the agent, and answer them to a caller who may do nothing."""
    bus = _bus()
    bus.runner.run(bus.receive(data))


def bus_seeds() -> Iterator[bytes]:
    """Yield a call of each method and property, and of the standard interfaces."""
    values: dict[str, Any] = {"s": "a", "u": 1, "b": True, "a(ss)": [["a", "b"]], "a{sv}": {"why": Variant("s", "x")}}
    interface = AgentInterface(cast(Any, None), StatusPublisher(cast(Any, None), Status(agent=True)), cast(Any, None))
    calls: list[tuple[str, str, str, list[Any]]] = [
        (BUS_NAME, method.name, method.in_signature, [values.get(str(arg.signature)) for arg in method.in_args])
        for method in interface.introspect().methods
        if "h" not in method.in_signature
    ]
    properties = "org.freedesktop.DBus.Properties"
    calls += [
        (properties, "Get", "ss", [BUS_NAME, "State"]),
        (properties, "GetAll", "s", [BUS_NAME]),
        (properties, "Set", "ssv", [BUS_NAME, "State", Variant("s", "x")]),
        ("org.freedesktop.DBus.Peer", "Ping", "", []),
        ("org.freedesktop.DBus.Introspectable", "Introspect", "", []),
    ]
    for name, member, signature, body in calls:
        message = Message(
            destination=BUS_NAME, path=OBJECT_PATH, interface=name, member=member, signature=signature, body=body,
            serial=1, sender=":1.7",
        )  # fmt: skip
        yield bytes(message._marshall(False))


# -- jobs of schedulers ----------------------------------------------------------------------------------------------


def _finish(draft: RunDraft) -> None:
    """Write what an import has found: it is a valid document, or none."""
    draft.remove_invalid()
    _show(draft.problems)
    draft.name = draft.name or "imported"
    if draft.keys:
        _, problems = read("x.yaml", draft.text("Made").encode())
        assert not only_errors(problems), f"the import wrote an invalid document: {problems[0]}"


def job_scripts(data: bytes) -> None:
    """Import a script; the first byte chooses its scheduler."""
    text = data[1:].decode("utf-8", "replace").replace("\0", "")
    _finish(convert(text, "job.sh", DIALECTS[SCHEDULERS[data[0] % len(SCHEDULERS) if data else 0]]))


def xml(data: bytes) -> None:
    """Read XML as Runs, which are the same after they were written as XML and as YAML, and as a job of JSDL."""
    try:
        root = read_elements("a.xml", data)
        _finish(import_jsdl(root))
        nodes = tuple(read_xml_nodes("a.xml", data))
    except Unreadable as unreadable:
        str(unreadable.problem)
        return
    runs = [(node, document) for node, document in ((node, _document(node)) for node in nodes) if document]
    for node, document in runs:
        export_jsdl(document)
        assert read("a.yaml", node_yaml(node).encode())[0], "the Run in YAML is invalid"
    with contextlib.suppress(ValueError):  # a key that XML cannot hold
        text = write_xml([node for node, _ in runs])
        assert write_xml(list(read_xml_nodes("a.xml", text.encode()))) == text


def runs(data: bytes) -> None:
    """Render Runs for each scheduler, and write them as XML and JSDL."""
    documents, problems = read("a.yaml", data)
    if problems or not any(document.kind is Kind.RUN for document in documents):
        return
    systems = _systems()
    for name in systems.names():
        try:
            rendered = render_runs(documents, systems, name, user="alice", token="t")
        except Refused as refused:
            _show(refused.problems)
            continue
        _show(rendered.problems)
        for script in rendered.scripts:
            assert "\0" not in script_text(script)


@functools.cache
def _systems() -> RunSystems:
    return run_systems(tuple(shipped()))[0]


def _document(node: Node) -> Document | None:
    document, problems = read_node(node)
    _show(problems)
    return document if document and document.kind is Kind.RUN and not only_errors(problems) else None


def _show(problems: tuple[Problem, ...] | list[Problem]) -> None:
    for problem in problems:
        str(problem)


def job_seeds(folder: Path) -> list[bytes]:
    """Return the scripts of tests, each behind the byte that chooses its scheduler."""
    files = sorted(path for path in folder.glob("imports/*") if path.suffix[1:] in SCHEDULERS)
    return [bytes([SCHEDULERS.index(path.suffix[1:])]) + path.read_bytes() for path in files]


def xml_seeds(folder: Path) -> list[bytes]:
    """Return jobs in JSDL and Runs in XML."""
    made = []
    for path in sorted(folder.glob("documents/*.yaml")):
        from ordain.transforms.document.reader import read_nodes

        made.append(write_xml([node for node in read_nodes(str(path), path.read_bytes()) if _document(node)]).encode())
    return [*(path.read_bytes() for path in sorted(folder.glob("imports/*.jsdl"))), *made]
