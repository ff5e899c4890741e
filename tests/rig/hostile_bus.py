"""A user who does harm on the system bus; runs in a machine with the standard library of Python alone.

hostile_bus.py signals SECONDS       answers every job of systemd with forged signals to the agent
hostile_bus.py calls SECONDS FLAGS   calls Status as fast as the bus takes it; FLAGS 1: wants no reply
hostile_bus.py large SECONDS         calls Plan with bodies of 31 MiB
hostile_bus.py signatures SECONDS    calls with bodies of thousands of different signatures
hostile_bus.py steady SECONDS        calls Status 200 times in a second, over twenty connections
hostile_bus.py field                 calls Status with a header field that the specification does not name
hostile_bus.py odd                   prints, as JSON, the answers to odd calls of each method and property
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import socket
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

BUS = "/run/dbus/system_bus_socket"
DRIVER = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
AGENT = "org.ordain.Agent1"
NAMES = (AGENT, f"{AGENT}.Root")
OBJECT = "/org/ordain/Agent1"
SYSTEMD = "/org/freedesktop/systemd1"
MANAGER = "org.freedesktop.systemd1.Manager"
PROPERTIES = "org.freedesktop.DBus.Properties"
CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
TIMEOUT_SEC = 20.0


class Writer:
    """The bytes of a message, with the alignment of D-Bus."""

    def __init__(self) -> None:
        self.data = bytearray()

    def align(self, size: int) -> None:
        self.data += bytes(-len(self.data) % size)

    def number(self, value: int, kind: str = "I") -> None:
        size = struct.calcsize(kind)
        self.align(size)
        self.data += struct.pack(f"<{kind}", value)

    def text(self, value: str) -> None:
        data = value.encode()
        self.number(len(data))
        self.data += data + b"\0"

    def signature(self, value: str) -> None:
        self.data += bytes([len(value)]) + value.encode() + b"\0"

    def value(self, kind: str, value: Any) -> None:
        """Write ``value`` of type ``kind``: basic types, ``v`` as (kind, value), arrays and dictionaries of those."""
        if kind in ("s", "o"):
            self.text(value)
        elif kind == "g":
            self.signature(value)
        elif kind == "v":
            self.signature(value[0])
            self.value(*value)
        elif kind[0] == "a":
            self._array(kind[1:], value)
        elif kind[0] in "({":
            self.align(8)
            for part, item in zip(split(kind[1:-1]), value, strict=True):
                self.value(part, item)
        else:
            codes = {"y": "B", "b": "I", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d", "h": "I"}
            self.number(value, codes[kind])

    def _array(self, kind: str, items: Sequence[Any]) -> None:
        self.number(0)
        size_at = len(self.data) - 4
        self.align(8 if kind[0] in "({xtd" else 1)
        begin = len(self.data)
        for item in items:
            self.value(kind, item)
        struct.pack_into("<I", self.data, size_at, len(self.data) - begin)


def split(signature: str) -> Iterator[str]:
    """Yield the complete types of a signature."""
    at = 0
    while at < len(signature):
        end = at
        while signature[end] == "a":
            end += 1
        if signature[end] in "({":
            depth = 1
            while depth:
                end += 1
                depth += (signature[end] in "({") - (signature[end] in ")}")
        yield signature[at : end + 1]
        at = end + 1


def body(signature: str, values: Sequence[Any]) -> bytes:
    writer = Writer()
    for kind, value in zip(split(signature), values, strict=True):
        writer.value(kind, value)
    return bytes(writer.data)


class Connection:
    """A connection to the system bus."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(BUS)
        self.socket.settimeout(TIMEOUT_SEC)
        self.socket.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
        assert self.socket.recv(200).startswith(b"OK")
        self.socket.sendall(b"BEGIN\r\n")
        self.file = self.socket.makefile("rb")
        self.serial = 0
        self.call(DRIVER, "Hello")

    def message(
        self,
        type_: int,
        to: tuple[str, str, str],
        member: str,
        signature: str = "",
        data: bytes = b"",
        flags: int = 0,
        more: Sequence[tuple[int, tuple[str, Any]]] = (),
    ) -> bytes:
        """Return a message to (destination, path, interface)."""
        self.serial += 1
        destination, path, interface = to
        fields = [(1, ("o", path)), (2, ("s", interface)), (3, ("s", member)), (6, ("s", destination))]
        fields += [(8, ("g", signature))] if signature else []
        head = Writer()
        head.data += struct.pack("<BBBBII", ord("l"), type_, flags, 1, len(data), self.serial)
        head.value("a(yv)", [*fields, *more])
        head.align(8)
        return bytes(head.data) + data

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> tuple[int, int, bytes]:
        """Return type, serial of the call, and all bytes of the next message."""
        start = self._read(16)
        body_size, _, fields_size = struct.unpack_from("<III", start, 4)
        fields = self._read(fields_size + -fields_size % 8)
        reply = re.search(rb"\x05\x01u\0(....)", fields, re.DOTALL)
        serial = struct.unpack("<I", reply[1])[0] if reply else 0
        return start[1], serial, start + fields + self._read(body_size)

    def _read(self, size: int) -> bytes:
        data = self.file.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def call(self, to: tuple[str, str, str], member: str, signature: str = "", values: Sequence[Any] = ()) -> Any:
        """Return (is it an error, the text of the reply)."""
        self.send(self.message(CALL, to, member, signature, body(signature, values)))
        wanted = self.serial
        while True:
            type_, serial, data = self.receive()
            if serial == wanted and type_ in (RETURN, ERROR):
                return type_ == ERROR, data.decode(errors="replace")


def forge(seconds: float) -> None:
    """Tell the agent in systemd's name that each job has failed, that a reload has begun, and that units changed."""
    bus = Connection()
    bus.call(DRIVER, "AddMatch", "s", [f"type='signal',interface='{MANAGER}',member='JobNew'"])
    owners = [re.findall(r":[0-9]+\.[0-9]+", bus.call(DRIVER, "GetNameOwner", "s", [name])[1])[-1] for name in NAMES]
    bus.socket.settimeout(0.2)
    end, sent = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        try:
            jobs = re.findall(rb"/systemd1/job/([0-9]+)", bus.socket.recv(1 << 16))
        except TimeoutError:
            jobs = []
        for name in (*NAMES, *owners):
            signals: list[tuple[str, str, str, str, list[Any]]] = [
                (SYSTEMD, MANAGER, "Reloading", "b", [True]),
                (SYSTEMD, MANAGER, "UnitFilesChanged", "", []),
                (SYSTEMD, MANAGER, "JobRemoved", "", []),
                (f"{SYSTEMD}/unit/web_2eservice", PROPERTIES, "PropertiesChanged", "sa{sv}as", [MANAGER, [], []]),
                (DRIVER[1], DRIVER[2], "NameOwnerChanged", "sss", ["org.freedesktop.systemd1", ":1.0", ""]),
            ]
            for number in sorted({int(job) for job in jobs}):
                job = [number, f"{SYSTEMD}/job/{number}", "web.service", "failed"]
                signals.append((SYSTEMD, MANAGER, "JobRemoved", "uoss", job))
            for path, interface, member, signature, values in signals:
                data = body(signature, values)
                bus.send(bus.message(SIGNAL, (name, path, interface), member, signature, data, flags=1))
                sent += 1
    print(sent)


def flood(seconds: float, flags: int, member: str, signature: str, data: bytes) -> None:
    """Call ``member`` as fast as the bus takes it, over four connections, and read what is answered."""
    senders = [Connection() for _ in range(4)]
    for sender in senders:
        sender.socket.setblocking(False)
    end, count = time.monotonic() + seconds, 0
    rests = [b""] * len(senders)
    while time.monotonic() < end:
        for index, sender in enumerate(senders):
            if not rests[index]:
                to = (NAMES[count % 8 == 0], OBJECT, AGENT)
                rests[index] = sender.message(CALL, to, member, signature, data, flags=flags)
                count += 1
            try:
                rests[index] = rests[index][sender.socket.send(rests[index]) :]
            except BlockingIOError:
                pass
            except OSError:  # the bus has closed the connection
                senders[index], rests[index] = Connection(), b""
                senders[index].socket.setblocking(False)
            try:
                while sender.socket.recv(1 << 20):
                    pass
            except OSError:
                pass
    print(count)


def steady(seconds: float) -> None:
    """Call Status as often as no limit of a single connection forbids, over many of them."""
    senders = [Connection() for _ in range(20)]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for sender in senders:
            sender.send(sender.message(CALL, (AGENT, OBJECT, AGENT), "Status"))
            sender.socket.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while sender.socket.recv(1 << 20):
                    pass
            sender.socket.setblocking(True)
        time.sleep(0.1)


def many_signatures(count: int) -> bytes:
    """Return a body of type ``av``: ``count`` empty arrays of different types."""
    chosen = random.Random(time.monotonic_ns())
    kinds = ("a(" + "".join(chosen.choices("ybnqiuxtdsog", k=240)) + ")" for _ in range(count))
    return body("av", [[(kind, []) for kind in kinds]])


ODD_OPTIONS: tuple[tuple[str, tuple[str, Any]], ...] = (
    ("confirm", ("s", "abc")), ("confirm", ("i", -1)), ("once", ("u", 1)), ("nothing", ("as", [])), ("\n", ("b", 1)),
)  # fmt: skip
ODD: tuple[tuple[str, list[Any]], ...] = (
    ("", []),
    *(("s", [text]) for text in ("", "a b", "%n", "a" * 10000, "/etc/../..", "web", "services/web", "\x1b[31m", "-x")),
    ("ss", ["", ""]),
    ("ss", [AGENT, "State"]),
    ("ss", [AGENT, "Nothing"]),
    ("ssv", [AGENT, "State", ("s", "paused")]),
    ("ssv", [AGENT, "Nothing", ("av", [])]),
    ("u", [4294967295]),
    ("i", [-1]),
    ("a(ss)", [[("", "")]]),
    ("a(ss)", [[("x.yaml", "ordain: [")]]),
    ("a(ss)a{sv}", [[], []]),
    *(("a(ss)a{sv}", [[("x", "")], [option]]) for option in ODD_OPTIONS),
    ("sa{sv}", ["web", [("unmask", ("d", float("nan")))]]),
    ("a(st)h", [[("x", 1 << 63)], 0]),
    ("a(st)ha{sv}", [[("x", 1)], 7, []]),
    ("h", [0]),
    ("av", [[("a{sv}", [("x", ("v", ("s", "y")))])]]),
)  # fmt: skip


def odd() -> None:
    """Call each member of each interface that the agent describes with each odd body."""
    bus = Connection()
    text = bus.call((AGENT, OBJECT, "org.freedesktop.DBus.Introspectable"), "Introspect")[1]
    answers = []
    for part in re.findall(r'<interface name=".*?</interface>', text, re.DOTALL):
        interface = part.split('"')[1]
        for member in [*re.findall(r'<method name="(\w+)"', part), "Nothing"]:
            for signature, values in ODD:
                time.sleep(0.025)  # below the limit of calls
                error, reply = bus.call((AGENT, OBJECT, interface), member, signature, values)
                answers.append([interface, member, signature, error, reply[-2000:]])
    print(json.dumps(answers))


def main() -> None:
    kind, *arguments = sys.argv[1:]
    seconds = float(arguments[0]) if arguments else 0
    if kind == "signals":
        forge(seconds)
    elif kind == "calls":
        flood(seconds, int(arguments[1]), "Status", "", b"")
    elif kind == "large":
        pairs = (31 << 20) // 24  # each is two empty strings, aligned to 8 bytes
        data = struct.pack("<I", pairs * 16 - 3) + bytes(4) + bytes(pairs * 16 - 3)
        flood(seconds, 0, "Plan", "a(ss)", data)
    elif kind == "signatures":
        flood(seconds, 0, "Plan", "av", many_signatures(4000))
    elif kind == "steady":
        steady(seconds)
    elif kind == "field":
        bus = Connection()
        bus.send(bus.message(CALL, (AGENT, OBJECT, AGENT), "Status", more=[(200, ("s", "x"))]))
        print(next(type_ for type_, serial, _ in iter(bus.receive, None) if serial == bus.serial))
    elif kind == "odd":
        odd()


if __name__ == "__main__":
    main()
