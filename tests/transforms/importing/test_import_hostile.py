"""Input that means harm: every file gives a valid document or none, and problems with a place; never a traceback."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.names import names_for, shared_versions
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.document.reader import read
from ordain.transforms.importing import detect, schema_filter, yaml_writer
from ordain.transforms.importing.detect import Kind
from ordain.transforms.importing.draft import MAX_BYTES, Imported, Source

HERE = Path(__file__).parents[2]
NAMES, _ = names_for(shipped(), facts_for("debian-12"), shared_versions(shipped()))
FILES = {
    Kind.UNITS: "own-service/input/web.service",
    Kind.CLOUD: "cloud/input/user-data",
    Kind.QUADLET: "quadlet/input/web.container",
    Kind.COMPOSE: "compose/input/shop/docker-compose.yml",
    Kind.FSTAB: "fstab/input/fstab",
}
HARM = {
    "nothing": b"",
    "a program": b"\x7fELF\x02\x01\x01\x00" + bytes(range(256)) * 8,
    "NULs": b"[Service]\0ExecStart=/bin/a\0b\0",
    "carriage returns": b"[Service]\r\nExecStart=/bin/a\r\n[Install]\r\nWantedBy=multi-user.target\r\n",
    "tabs": b"\t[Service]\n\tExecStart\t=\t/bin/a\tb\nservices:\n\tweb:\n\t\timage: x\n",
    "an include": b".include /etc/passwd\n[Service]\n.include /etc/passwd\n!include /etc/passwd\n",
    "sections nobody knows": b"[Serivce]\nExecStart=/bin/a\n[]\nA=b\n[Service\nExecStart=/bin/b\n",
    "one huge line": b"[Service]\nExecStart=/bin/a " + b"x" * 2_000_000,
    "many lines": b"[Service]\n" + b"Environment=A=b\n" * 50_000,
    "too much": b"#\n" * (MAX_BYTES // 2 + 1),
    "a deep nest": b"services: " + b"{a: " * 5_000,
    "an alias bomb": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(9)),
    "a list": b"- services\n- 1\n",
    "a text": b"#cloud-config\nhello",
    "wrong types": b"#cloud-config\nusers: 5\ngroups: {a: {b: c}}\nwrite_files: [1, {path: [x]}]\n"
    b"runcmd: {a: b}\nbootcmd: [[{}], [[1]]]\nntp: x\nmounts: [[], [[1]], 3]\nswap: 1\nhostname: [a]\nnetwork: 7\n"
    b"services: {web: 5, db: {image: [], ports: {}, volumes: [{}], depends_on: 3}}\nvolumes: [1]\nnetworks: {a: 3}\n",
    "tags": b"services: !!python/object/apply:os.system [id]\n",
    "strange characters": "[Service]\nExecStart=/bin/a \u2028\u0085\ufeff\u200b\U0001f600\n".encode(),
    "a bad specifier": b"[Service]\nExecStart=/bin/a %Q\nUser=%\nEnvironment=A\nEnvironment='\n",
}


def bring(kind: Kind, name: str, data: bytes) -> Imported:
    """Imports ``data``; holds what comes out against the language."""
    imported = Imported()
    detect.carry([Source(path=f"/x/{name}", data=data)], NAMES, imported, kind)
    schema_filter.settle(imported)
    text = yaml_writer.write(imported, "x", header="a test")
    assert read("x.yaml", text.encode())[1] == (), text
    assert all(problem.where.path and problem.what and "\n" not in str(problem) for problem in imported.problems)
    return imported


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("harm", HARM)
def test_harm_is_a_problem_or_nothing(kind: Kind, harm: str) -> None:
    begin = time.process_time()

    bring(kind, FILES[kind].rpartition("/")[2], HARM[harm])

    assert time.process_time() - begin < 10


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("harm", ["a program", "too much"])
def test_what_is_no_text_is_said_once(kind: Kind, harm: str) -> None:
    imported = bring(kind, FILES[kind].rpartition("/")[2], HARM[harm])

    assert "no UTF-8" in imported.problems[0].what or "at most are read" in imported.problems[0].what
    assert not any(imported.sections.values())


def mangled(data: bytes) -> Iterator[bytes]:
    """``data`` cut short, and with bytes that mean something put in, at many places."""
    step = max(1, len(data) // 60)
    for at in range(0, len(data), step):
        yield data[:at]
        yield data[:at] + b"\"'\\[{:%$\n"[at % 10 : at % 10 + 1] + data[at + 1 :]


@pytest.mark.parametrize("kind", Kind)
def test_every_file_may_be_damaged(kind: Kind) -> None:
    path = HERE / "imports" / FILES[kind]
    for data in mangled(path.read_bytes()):
        bring(kind, path.name, data)


@settings(max_examples=100, deadline=None)
@given(kind=st.sampled_from(list(Kind)), text=st.text(max_size=60), head=st.sampled_from(list(HARM)))
def test_any_text_may_follow(kind: Kind, text: str, head: str) -> None:
    start = HARM[head][:200]
    bring(kind, FILES[kind].rpartition("/")[2], start + text.encode("utf-8", "surrogatepass"))


def test_line_ends_of_another_system_are_line_ends() -> None:
    imported = bring(Kind.UNITS, "a.service", HARM["carriage returns"])

    assert imported.problems == []
    assert imported.sections["services"]["a"] == {"command": "/bin/a", "type": "simple", "state": "running"}
