"""Hostile input: every file gives a valid document or none, and problems with a place, but never a traceback."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.names import names_for, shared_versions
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Refused
from ordain.transforms.importing import file_types
from ordain.transforms.importing.draft import schema_filter, yaml_writer
from ordain.transforms.importing.draft.document_draft import MAX_BYTES, DocumentDraft, InputFile
from ordain.transforms.importing.file_types import FileType
from support.importing.import_accounting import composed

pytestmark = pytest.mark.thorough

HERE = Path(__file__).parents[2]
NAMES, _ = names_for(shipped(), facts_for("debian-12"), shared_versions(shipped()))
FILES = {
    FileType.UNITS: "own-service/input/web.service",
    FileType.CLOUD: "cloud/input/user-data",
    FileType.QUADLET: "quadlet/input/web.container",
    FileType.COMPOSE: "compose/input/shop/docker-compose.yml",
    FileType.FSTAB: "fstab/input/fstab",
    FileType.SYSCTL: "kernel/input/sysctl.d/50-site.conf",
    FileType.MODULES: "kernel/input/modules-load.d/site.conf",
    FileType.IGNITION: "ignition/input/web.bu",
    FileType.NETPLAN: "netplan/input/60-site.yaml",
}
HARM = {
    "nothing": b"",
    "a program": b"\x7fELF\x02\x01\x01\x00" + bytes(range(256)) * 8,
    "NULs": b"[Service]\0ExecStart=/bin/a\0b\0",
    "carriage returns": b"[Service]\r\nExecStart=/bin/a\r\n[Install]\r\nWantedBy=multi-user.target\r\n",
    "tabs": b"\t[Service]\n\tExecStart\t=\t/bin/a\tb\nservices:\n\tweb:\n\t\timage: x\n",
    "an include": b".include /etc/passwd\n[Service]\n.include /etc/passwd\n!include /etc/passwd\n",
    "unknown sections": b"[Serivce]\nExecStart=/bin/a\n[]\nA=b\n[Service\nExecStart=/bin/b\n",
    "one huge line": b"[Service]\nExecStart=/bin/a " + b"x" * 2_000_000,
    "many lines": b"[Service]\n" + b"Environment=A=b\n" * 50_000,
    "too much": b"#\n" * (MAX_BYTES // 2 + 1),
    "a deeply nested value": b"services: " + b"{a: " * 5_000,
    "an alias bomb": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(9)),
    "a list": b"- services\n- 1\n",
    "a text": b"#cloud-config\nhello",
    "wrong types": b"#cloud-config\nusers: 5\ngroups: {a: {b: c}}\nwrite_files: [1, {path: [x]}]\n"
    b"runcmd: {a: b}\nbootcmd: [[{}], [[1]]]\nntp: x\nmounts: [[], [[1]], 3]\nswap: 1\nhostname: [a]\nnetwork: 7\n"
    b"services: {web: 5, db: {image: [], ports: {}, volumes: [{}], depends_on: 3}}\nvolumes: [1]\nnetworks: {a: 3}\n",
    "odd addresses": b"#cloud-config\nnetwork: {version: 2, ethernets: {e: {addresses: [{}, {a: 1, b: 2}]}}}\n",
    "base64 that is not ASCII": b"#cloud-config\nwrite_files: [{path: /a, encoding: b64, content: \xc3\x97}]\n",
    "a NUL in an option": b'/dev/sdb1 /srv/a ext4 defaults,context="a\0b" 0 0\n',
    "a path too long to have a mount": b"[Unit]\nRequiresMountsFor=/srv"
    + b"/srv" * 80
    + b" /a/../b\n[Service]\nExecStart=/bin/a\n",
    "tags": b"services: !!python/object/apply:os.system [id]\n",
    "strange characters": "[Service]\nExecStart=/bin/a \u2028\u0085\ufeff\u200b\U0001f600\n".encode(),
    "a bad specifier": b"[Service]\nExecStart=/bin/a %Q\nUser=%\nEnvironment=A\nEnvironment='\n",
}


def import_file(kind: FileType, name: str, data: bytes) -> DocumentDraft:
    """Import ``data``, and check that the document is valid and compiles, and that every problem has a place."""
    draft = DocumentDraft()
    file_types.convert([InputFile(path=f"/x/{name}", data=data)], NAMES, draft, kind)
    schema_filter.remove_invalid(draft)
    text = yaml_writer.write(draft, "x", header="a test")
    documents, problems = read("x.yaml", text.encode())
    assert problems == (), text
    with suppress(Refused):
        compile(documents, facts_for("debian-12"), shipped=shipped())
    assert all(problem.where.path and problem.what and "\n" not in str(problem) for problem in draft.problems)
    return draft


@pytest.mark.parametrize("kind", FileType)
@pytest.mark.parametrize("harm", HARM)
def test_hostile_input_is_converted_or_reported_in_time(kind: FileType, harm: str) -> None:
    begin = time.process_time()

    import_file(kind, FILES[kind].rpartition("/")[2], HARM[harm])

    assert time.process_time() - begin < 10


@pytest.mark.parametrize("kind", FileType)
@pytest.mark.parametrize("harm", ["a program", "too much"])
def test_a_file_that_is_not_text_or_too_large_is_reported(kind: FileType, harm: str) -> None:
    draft = import_file(kind, FILES[kind].rpartition("/")[2], HARM[harm])

    assert "is not UTF-8" in draft.problems[0].what or "more than" in draft.problems[0].what
    assert not any(draft.sections.values())


def mangled(data: bytes) -> Iterator[bytes]:
    """Yield ``data`` cut short, and with a character of some syntax in it, at many places."""
    step = max(1, len(data) // 60)
    for at in range(0, len(data), step):
        yield data[:at]
        yield data[:at] + b"\"'\\[{:%$\n"[at % 10 : at % 10 + 1] + data[at + 1 :]


@pytest.mark.parametrize("kind", FileType)
def test_damaged_files_are_converted_or_reported(kind: FileType) -> None:
    path = HERE / "imports" / FILES[kind]
    for data in mangled(path.read_bytes()):
        import_file(kind, path.name, data)


ODD = ("[]", "5", "[[]]", "{a: b}", "!own x")
"""Values of every type, of which most are wrong at most places."""


def with_odd_values(text: str) -> Iterator[bytes]:
    """Yield a YAML text with every value in it replaced by each of `ODD`."""
    root = composed(text)
    for holder, at in [*values_of(root)]:
        whole = holder[at]
        for odd in ODD:
            holder[at] = (whole[0], composed(odd)) if isinstance(whole, tuple) else composed(odd)
            yield yaml.serialize(root, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)).encode()
        holder[at] = whole


def values_of(node: yaml.Node) -> Iterator[tuple[list[Any], int]]:
    """Yield the list that holds each value below a node, and its index there."""
    for at, item in enumerate(node.value if isinstance(node, yaml.CollectionNode) else ()):
        yield node.value, at
        yield from values_of(item[1] if isinstance(item, tuple) else item)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (FileType.CLOUD, "cloud/input/user-data"),
        (FileType.CLOUD, "network-v1/input/network-config"),
        (FileType.COMPOSE, "compose/input/shop/docker-compose.yml"),
        (FileType.NETPLAN, "netplan/input/60-site.yaml"),
        (FileType.IGNITION, "ignition/input/web.bu"),
    ],
)
def test_values_of_every_type_are_converted_or_reported(kind: FileType, name: str) -> None:
    path = HERE / "imports" / name
    for data in with_odd_values(path.read_text()):
        draft = DocumentDraft()
        file_types.convert([InputFile(path=f"/x/{path.name}", data=data)], NAMES, draft, kind)
        schema_filter.remove_invalid(draft)


@settings(max_examples=100, deadline=None)
@given(kind=st.sampled_from(list(FileType)), text=st.text(max_size=60), head=st.sampled_from(list(HARM)))
def test_any_text_after_hostile_input_is_converted_or_reported(kind: FileType, text: str, head: str) -> None:
    start = HARM[head][:200]
    import_file(kind, FILES[kind].rpartition("/")[2], start + text.encode("utf-8", "surrogatepass"))


def test_line_ends_of_other_systems_end_lines() -> None:
    draft = import_file(FileType.UNITS, "a.service", HARM["carriage returns"])

    assert draft.problems == []
    assert draft.sections["services"]["a"] == {"command": "/bin/a", "type": "simple", "state": "running"}
