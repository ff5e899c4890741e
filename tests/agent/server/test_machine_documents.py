"""`ordainctl serve`: the documents for each machine, and the time of each answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from yarl import URL

from ordain.agent.delivery.source.http_source import HOSTNAME, MACHINE, REFUSED, MachineIdentity
from ordain.agent.server.machine_documents import MachineDocuments, split_documents
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Refused
from rig.stores.boot_server import running_boot_server

ID = "0123456789abcdef" * 2
BASE = b"ordain: v1\nkind: Layer\nname: base\nmatch: {role: web}\n"
NODES = b"""# two machines
ordain: v1
kind: Node
name: web1
---
ordain: v1
kind: Node
name: other
match: {machine-id: 0123456789abcdef0123456789abcdef}
---
ordain: v1
kind: Layer
name: lab
match: {mac: {not: "52:54:00:00:00:01"}, os: fedora}
"""


def with_base(tmp_path: Path) -> Path:
    """Write `BASE` to base.yaml in ``tmp_path``, and return that."""
    (tmp_path / "base.yaml").write_bytes(BASE)
    return tmp_path


def names(documents: MachineDocuments, **identity: object) -> set[str]:
    fields = {"machine_id": "", "hostname": "", **identity}
    body = documents.for_machine(MachineIdentity(**fields))  # type: ignore[arg-type]
    served_documents, problems = read("served.yaml", body)
    assert problems == ()
    return {document.name for document in served_documents}


def test_a_machine_gets_the_documents_that_could_match_it() -> None:
    documents = split_documents([("/srv/a.yaml", BASE), ("/srv/nodes.yaml", NODES)])

    assert names(documents, hostname="web1") == {"base", "web1", "other", "lab"}
    assert names(documents, hostname="web1", machine_id="f" * 32) == {"base", "web1", "lab"}
    assert names(documents, hostname="x", machine_id=ID) == {"base", "other", "lab"}
    assert names(documents, hostname="x", machine_id=ID, mac=("52:54:00:00:00:01",)) == {"base", "other"}


SPACED = b"# a comment\n\nordain: v1\nkind: Layer\nname: a\n---\n\n\nordain: v1\nkind: Layer\nname: b\n"
ON_THE_LINE = b"--- {ordain: v1, kind: Layer, name: a}\n--- # b\nordain: v1\nkind: Layer\nname: b\n...\n"


def test_every_document_names_its_origin() -> None:
    body = split_documents([("/srv/nodes.yaml", NODES)]).for_machine(MachineIdentity(machine_id=ID, hostname="x"))

    assert b"# from nodes.yaml:6\n" in body
    assert b"# from nodes.yaml:11\n" in body


@pytest.mark.parametrize(
    ("url", "folder"), [("https://boot/x/{machine-id}.yaml", "https://boot/x/"), ("/run/x.yaml", "")]
)
@pytest.mark.parametrize("identity", [{"hostname": "x"}, {"hostname": "web1", "machine_id": "f" * 32}])
def test_a_machine_names_the_files_of_the_server_and_their_lines(
    url: str, folder: str, identity: dict[str, str]
) -> None:
    texts = [
        ("/srv/base.yaml", BASE),
        ("/srv/nodes.yaml", NODES),
        ("/srv/s.yaml", SPACED),
        ("/srv/o.yaml", ON_THE_LINE),
    ]
    written = {
        (document.kind, document.name, path.rpartition("/")[2]): document.where.line
        for path, text in texts
        for document in read(path, text)[0]
    }

    body = split_documents(texts).for_machine(MachineIdentity(**{"machine_id": "", **identity}))  # type: ignore[arg-type]
    documents, problems = read(url, body)

    assert problems == ()
    assert len(documents) > 5
    for document in documents:
        name = document.where.path.removeprefix(folder)
        assert document.where.path == f"{folder}{name}"
        assert written[document.kind, document.name, name] == document.where.line


def test_a_problem_in_a_served_text_names_the_file_of_the_server() -> None:
    body = split_documents([("/srv/nodes.yaml", NODES)]).for_machine(MachineIdentity(machine_id=ID, hostname="x"))

    (unknown,) = read("http://boot/a.yaml", body.replace(b"match: {machine-id", b"mtch: {machine-id"))[1]
    (broken,) = read("http://boot/a.yaml", body.replace(b"name: lab", b"name: [lab"))[1]

    assert str(unknown).startswith("http://boot/nodes.yaml:9:1: ")
    assert str(broken).startswith("http://boot/nodes.yaml:")


@pytest.mark.parametrize(
    "text", [b"# from a.yaml:7\n" + BASE, b"---\n# from ../a:7\n" + BASE, b"---\n# from a:x\n" + BASE]
)
def test_a_text_that_no_boot_server_has_made_keeps_its_own_lines(text: bytes) -> None:
    (document,) = read("/etc/ordain/documents/b.yaml", text)[0]

    assert document.where.path == "/etc/ordain/documents/b.yaml"
    assert document.where.line == text[: text.index(b"ordain")].count(b"\n") + 1


def test_json_is_served_beside_yaml() -> None:
    json = b'{"ordain": "v1",\n\t"kind": "Layer", "name": "json"}\n'

    assert names(split_documents([("/a.json", json), ("/b.yaml", BASE)]), hostname="x") == {"json", "base"}


def test_invalid_documents_are_not_served() -> None:
    with pytest.raises(Refused, match="unknown key"):
        split_documents([("/srv/a.yaml", BASE + b"servces: {}\n")])


async def test_documents_with_a_known_etag_are_not_sent_again(tmp_path: Path) -> None:
    async with running_boot_server(with_base(tmp_path)) as (session, url):
        async with session.get(f"{url}/{ID}.yaml") as answer:
            etag = answer.headers["ETag"]
            assert answer.headers[MACHINE] == ID
            assert BASE.strip() in await answer.read()
        async with session.get(f"{url}/{ID}.yaml", headers={"If-None-Match": etag}) as answer:
            assert answer.status == 304


async def test_an_answer_can_wait_for_a_change(tmp_path: Path) -> None:
    async with running_boot_server(with_base(tmp_path)) as (session, url):
        async with session.get(f"{url}/{ID}") as answer:
            etag = answer.headers["ETag"]

        async def wait() -> tuple[int, bytes]:
            headers = {"If-None-Match": etag, "Prefer": "wait=15"}
            async with session.get(f"{url}/{ID}", headers=headers) as answer:
                assert answer.headers["Preference-Applied"] == "wait"
                return answer.status, await answer.read()

        waiting = asyncio.create_task(wait())
        (tmp_path / "more.yaml").write_bytes(BASE.replace(b"base", b"more"))
        status, body = await waiting
        assert status == 200
        assert b"name: more" in body


async def test_waiting_machines_learn_that_the_server_refuses_newer_documents(tmp_path: Path) -> None:
    secret = BASE.replace(b"base", b"more") + b"hunter2: {}\n"
    line = len(secret.splitlines())
    async with running_boot_server(with_base(tmp_path)) as (session, url):

        async def wait(etag: str) -> tuple[str, bytes, str]:
            headers = {"If-None-Match": etag, "Prefer": "wait=15"} if etag else {}
            async with session.get(f"{url}/{ID}", headers=headers) as answer:
                assert answer.status == 200
                return answer.headers.get(REFUSED, ""), await answer.read(), answer.headers["ETag"]

        refused, body, etag = await wait("")
        assert refused == ""
        waiting = asyncio.create_task(wait(etag))
        (tmp_path / "wrong.yaml").write_bytes(secret)
        refused, last_valid, etag = await waiting
        assert refused == f"wrong.yaml:{line} [Schema]"  # no word of it: it may be for another machine
        assert last_valid == body
        waiting = asyncio.create_task(wait(etag))
        (tmp_path / "wrong.yaml").write_bytes(BASE.replace(b"base", b"more"))
        refused, corrected, etag = await waiting
        assert refused == ""
        assert b"name: more" in corrected


async def test_a_wait_without_a_change_ends_with_304(tmp_path: Path) -> None:
    async with running_boot_server(with_base(tmp_path)) as (session, url):
        async with session.get(f"{url}/{ID}") as answer:
            etag = answer.headers["ETag"]
        headers = {"If-None-Match": etag, "Prefer": "respond-async, wait=1"}
        async with session.get(f"{url}/{ID}", headers=headers) as answer:
            assert answer.status == 304


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/base.yaml%00"])
async def test_a_path_cannot_name_a_file(tmp_path: Path, path: str) -> None:
    async with (
        running_boot_server(with_base(tmp_path)) as (session, url),
        session.get(URL(url + path, encoded=True)) as got,
    ):
        assert b"root:" not in await got.read()


async def test_a_request_without_a_machine_or_without_documents_fails(tmp_path: Path) -> None:
    async with running_boot_server(with_base(tmp_path)) as (session, url):
        async with session.get(f"{url}/") as answer:
            assert answer.status == 400
        async with session.post(f"{url}/web1") as answer:
            assert answer.status == 405
        (tmp_path / "base.yaml").write_bytes(BASE.replace(b"role: web", b"hostname: 'x*'"))
        async with session.get(f"{url}/y", headers={"If-None-Match": "old", "Prefer": "wait=9"}) as answer:
            pass
        async with session.get(f"{url}/z", headers={HOSTNAME: "y"}) as answer:
            status = answer.status
            while status == 200:
                async with session.get(f"{url}/z", headers={HOSTNAME: "y"}) as again:
                    status = again.status
            assert status == 404


def test_a_machine_whose_documents_call_machines_gets_the_nodes_of_all() -> None:
    hosts = b"---\nordain: v1\nkind: Layer\nname: hosts\nmatch: {hostname: web2}\n"
    hosts += b"files: {/h: {template: '{{ machines() }}'}}\n"
    documents = split_documents([("/nodes.yaml", NODES + hosts)])

    assert names(documents, hostname="web2") == {"web1", "other", "lab", "hosts"}
    assert names(documents, hostname="web3", mac=("52:54:00:00:00:03",)) == {"other", "lab"}
