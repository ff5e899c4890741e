"""Documents that are delivered with the boot: where they are found, when they are used, and the early compile."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from ordain.agent.compile import first_boot as firstboot
from ordain.agent.compile.image import bake
from ordain.agent.delivery.protocol import Snapshot, SourceError, ignore
from ordain.agent.delivery.release.bundle import bundle
from ordain.agent.delivery.source.boot_documents import ANSWERED, with_boot_documents
from ordain.agent.delivery.source.directory_source import DirectorySource
from ordain.agent.delivery.source.local_files import read_boot_documents
from ordain.agent.settings import Trust
from ordain.generator import first_boot as early
from ordain.generator.cache import unpack
from ordain.generator.choose import TRUST, trust_record
from ordain.generator.main import main as generate
from support.machines.generator_machine import cache
from support.samples.agent_yaml_samples import BAD, GOOD

pytestmark = pytest.mark.thorough

LAYER = b'{"ordain": "v1", "kind": "Layer", "name": "a", "services": {"a": {"command": ["/bin/true"]}}}\n'
OTHER = LAYER.replace(b'"a"', b'"b"')


class Remote:
    type = "etcd"
    location = "https://db"

    def __init__(self) -> None:
        self.answer: Snapshot | None = None

    async def read(self) -> Snapshot:
        if self.answer is None:
            raise SourceError("no route to host")
        return self.answer

    async def changes(self, begun: Callable[[], None] = ignore) -> AsyncIterator[None]:
        return
        yield


def put(root: Path, path: str, data: bytes, mode: int = 0o644) -> None:
    target = root / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    target.chmod(mode)


def names(snapshot: Snapshot) -> list[str]:
    return [path for path, _ in snapshot.texts]


def test_documents_are_found_in_every_place(tmp_path: Path) -> None:
    put(tmp_path, "/run/ordain/document.json", LAYER)
    put(tmp_path, "/run/ordain/documents/web.yaml", LAYER)
    put(tmp_path, "/run/ordain/documents/notes.txt", LAYER)
    put(tmp_path, "/run/credentials/@system/ordain.document", LAYER, 0o400)
    assert [path for path, _ in read_boot_documents(tmp_path)] == [
        "/run/credentials/@system/ordain.document",
        "/run/ordain/document.json",
        "/run/ordain/documents/web.yaml",
    ]


def test_documents_that_other_users_may_write_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "/run/ordain/document.json", LAYER, 0o666)
    with pytest.raises(SourceError, match=r"/run/ordain/document\.json: .*writable by users other than root"):
        read_boot_documents(tmp_path)


def test_documents_that_are_too_large_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "/run/ordain/document.json", b" " * (5 << 20))
    with pytest.raises(SourceError, match="bytes, which is more than the limit"):
        read_boot_documents(tmp_path)


def test_delivered_documents_are_added_to_a_directory(tmp_path: Path) -> None:
    put(tmp_path, "/etc/ordain/documents/own.json", LAYER)
    put(tmp_path, "/run/ordain/document.json", OTHER)
    source = with_boot_documents(DirectorySource(Path("/etc/ordain/documents"), tmp_path), tmp_path)
    snapshot = asyncio.run(source.read())
    assert names(snapshot) == ["/etc/ordain/documents/own.json", "/run/ordain/document.json"]
    put(tmp_path, "/etc/ordain/documents/own.json", OTHER)
    assert asyncio.run(source.read()).revision != snapshot.revision


def test_without_delivered_documents_a_source_is_unchanged(tmp_path: Path) -> None:
    remote = Remote()
    assert with_boot_documents(remote, tmp_path) is remote


def test_delivered_documents_replace_a_remote_source_until_its_first_answer(tmp_path: Path) -> None:
    put(tmp_path, "/run/ordain/document.json", LAYER)
    remote = Remote()
    source = with_boot_documents(remote, tmp_path)
    assert names(asyncio.run(source.read())) == ["/run/ordain/document.json"]
    assert source.location == "the documents of the boot, until https://db answers"

    remote.answer = Snapshot(texts=())
    assert names(asyncio.run(source.read())) == ["/run/ordain/document.json"], (
        "an empty store does not count as an answer"
    )

    remote.answer = Snapshot(texts=(("web", OTHER),))
    for _ in range(2):
        found = asyncio.run(source.read())
        assert (names(found), found.removals_intended) == (["web"], True), "what only stood in may go"
    assert source.location == "https://db"
    remote.answer = Snapshot(texts=(("other", OTHER),))
    assert not asyncio.run(source.read()).removals_intended

    remote.answer = None
    for again in (source, with_boot_documents(remote, tmp_path)):
        with pytest.raises(SourceError, match="no route to host"):
            asyncio.run(again.read())
    (tmp_path / ANSWERED).unlink()
    assert names(asyncio.run(with_boot_documents(remote, tmp_path).read())) == ["/run/ordain/document.json"]


def test_unsigned_documents_are_not_used_if_signatures_are_required(tmp_path: Path) -> None:
    put(tmp_path, "/run/ordain/document.json", LAYER)
    remote = Remote()
    remote.answer = Snapshot(texts=(("web", OTHER),))
    source = with_boot_documents(remote, tmp_path, Trust.LOCAL)
    assert names(asyncio.run(source.read())) == ["/run/ordain/document.json"]
    assert source.location == "the documents of the boot, until https://db sends a signed release"
    release = bundle([("stable 1", b'{\n  "ordain": "v1",\n  "kind": "Release"\n}\n'), ("common/a.json", OTHER)])
    remote.answer = Snapshot(texts=(("release", release),))
    assert names(asyncio.run(source.read())) == ["release"]


def test_the_first_boot_imports_only_modules_that_json_documents_need(tmp_path: Path) -> None:
    """Check for modules that each cost a fifth of the time; the package replaces the YAML by a prebuilt catalog."""
    put(tmp_path, "/etc/os-release", b"ID=debian\nVERSION_ID=13\n")
    put(tmp_path, "/etc/ordain/documents/a.json", LAYER)
    code = (
        "import sys; from ordain.transforms.catalog import prebuilt, shipped;"
        "from ordain.agent.compile import first_boot;"
        "made = prebuilt.parse(shipped.prepare());"
        "[sys.modules.pop(name) for name in list(sys.modules) if name.partition('.')[0] == 'yaml'];"
        "prebuilt.prepared = lambda path: made;"
        "status = first_boot.main(['', sys.argv[1]]);"
        "slow = {'yaml', 'jsonschema', 'jinja2', 'asyncio', 'aiohttp', 'subprocess'};"
        "print(status, *sorted(slow & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("trust=local\n0\n", "")


@pytest.mark.parametrize(
    ("kind", "trust", "same"), [("http", "open", True), ("http", "local", False), ("etcd", "open", False)]
)
def test_documents_that_the_initrd_fetched_from_the_source_have_its_name(
    tmp_path: Path, kind: str, trust: str, same: bool
) -> None:
    put(tmp_path, "/run/ordain/documents/source.yaml", LAYER)
    put(tmp_path, "/run/ordain/documents/other.yaml", OTHER)
    remote = Remote()
    remote.type = kind
    source = with_boot_documents(remote, tmp_path, Trust(trust))

    called = remote.location if same else "/run/ordain/documents/source.yaml"
    assert set(names(asyncio.run(source.read()))) == {called, "/run/ordain/documents/other.yaml"}


# The generator


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a root directory whose first boot runs the program of this tree."""
    program = tmp_path / "program"
    for step in (early.run_compiler, early.ask_trust):
        monkeypatch.setattr(step, "__defaults__", (str(program),))
    root = tmp_path / "root"
    put(root, "/proc/sys/kernel/random/boot_id", b"00000000-0000-0000-0000-000000000001\n")
    put(root, "/etc/os-release", b"ID=debian\nVERSION_ID=13\n")
    script(
        tmp_path,
        f"exec {_python()} -c 'import sys; from ordain.agent.compile.first_boot import main; sys.exit(main(sys.argv))'"
        ' "$@"',
    )
    return root


def _python() -> str:
    return f"env PYTHONPATH={os.environ.get('PYTHONPATH', '')} {sys.executable} -P"


def script(where: Path, text: str) -> None:
    put(where, "/program", f"#!/bin/sh\n{text}\n".encode(), 0o755)


def run(root: Path) -> dict[str, list[str]]:
    generate(["ordain-generator", f"--root={root}", f"{root}/out"])
    found: dict[str, list[str]] = {}
    for line in (root / "run/ordain/boot/choice").read_text().splitlines():
        key, _, value = line.partition("=")
        found.setdefault(key, []).append(value)
    return found


def test_a_first_boot_places_delivered_documents(machine: Path) -> None:
    put(machine, "/run/ordain/document.json", LAYER)
    assert run(machine)["from"] == ["handed"]
    assert "# /run/ordain/document.json:1 a services/a/command" in (machine / "out/a.service").read_text()


def test_a_first_boot_places_documents_of_the_machine(machine: Path) -> None:
    put(
        machine,
        "/etc/ordain/documents/a.yaml",
        b"ordain: v1\n" + b"kind: Layer\nname: a\nservices: {a: {command: /bin/true}}\n",
    )
    assert run(machine)["from"] == ["handed"]


def test_a_machine_without_documents_runs_no_compile(machine: Path) -> None:
    script(machine.parent, "touch $1/ran")
    run(machine)
    assert not (machine / "ran").exists()


def test_the_baseline_is_used_before_documents_of_the_machine_and_after_delivered_ones(machine: Path) -> None:
    put(machine, "/run/ordain/document.json", OTHER)
    run(machine)
    put(machine, "/usr/lib/ordain/boot/baseline", (machine / "run/ordain/boot/handed").read_bytes())
    (machine / "run/ordain/boot/handed").unlink()
    (machine / "run/ordain/document.json").unlink()
    (machine / "run/ordain/boot/choice").unlink()
    put(machine, "/etc/ordain/documents/a.json", LAYER)
    assert run(machine)["from"] == ["baseline"]
    (machine / "run/ordain/boot/choice").unlink()
    put(machine, "/run/ordain/document.json", OTHER)
    assert run(machine)["from"] == ["handed"]
    assert {path for path, *_ in unpack((machine / "run/ordain/boot/handed").read_bytes()).entries} > {
        "normal/a.service",
        "normal/b.service",
    }


def test_a_generation_whose_boots_failed_is_compiled_but_not_placed(machine: Path) -> None:
    put(machine, "/run/ordain/document.json", LAYER)
    (hash,) = run(machine)["hash"]
    shutil.rmtree(machine / "run/ordain/boot")
    put(machine, "/etc/ordain/boot/attempts", "".join(f"{hash} {n}\n" for n in range(3)).encode())
    found = run(machine)
    assert found["from"] == ["nothing"]
    assert f"3 boots with generation {hash[:12]} did not complete" in found["note"][0]


def test_a_second_run_in_a_boot_compiles_nothing(machine: Path) -> None:
    put(machine, "/run/ordain/document.json", b"{")
    assert any("expected a key" in note for note in run(machine)["note"])
    script(machine.parent, "touch $1/ran")
    assert "note" not in run(machine)
    assert not (machine / "ran").exists()


def test_a_running_machine_is_left_to_its_agent(machine: Path) -> None:
    put(machine, "/run/ordain/document.json", LAYER)
    address = machine / "run/systemd/private"
    address.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as manager:
        manager.bind(str(address))
        manager.listen()
        assert run(machine)["from"] == ["nothing"]
    (machine / "run/ordain/boot/choice").unlink()
    assert run(machine)["from"] == ["handed"], "a socket that the initrd left is not a manager"


def test_a_compile_that_hangs_is_killed_and_reported(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(machine, "/run/ordain/document.json", LAYER)
    script(machine.parent, "echo $$ >$1/pid; echo half a word; exec sleep 1000")
    monkeypatch.setattr(early, "SECONDS", 1)
    assert run(machine)["note"] == ["the documents were not compiled within 1 s; the agent will do it"]
    pid = (machine / "pid").read_text().strip()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{pid}").exists()


def test_a_missing_program_is_reported(machine: Path) -> None:
    put(machine, "/run/ordain/document.json", LAYER)
    (machine.parent / "program").unlink()
    (note,) = run(machine)["note"]
    assert note.endswith("/program: No such file or directory; the documents wait for the agent")


def test_documents_that_match_on_an_address_wait_for_the_agent(
    machine: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    put(
        machine,
        "/run/ordain/document.json",
        LAYER.replace(b'"services"', b'"match": {"mac": "02:00:00:00:00:01"}, "services"'),
    )
    assert firstboot.main(["", str(machine)]) == 1
    assert "match on mac" in capfd.readouterr().out


def test_a_delivered_release_waits_for_the_agent_that_verifies_it(
    machine: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    texts = [("stable 1", b'{\n  "ordain": "v1",\n  "kind": "Release"\n}\n'), ("common/a.json", b"\t" + LAYER)]
    put(machine, "/run/ordain/documents/source.yaml", bundle(texts))
    assert firstboot.main(["", str(machine)]) == 1
    assert "only the agent can verify signatures" in capfd.readouterr().out


def test_documents_are_not_used_if_only_releases_are_trusted(machine: Path, capfd: pytest.CaptureFixture[str]) -> None:
    put(machine, "/run/ordain/document.json", LAYER)
    put(machine, "/etc/ordain/agent.yaml", b"trust: required\n")
    assert firstboot.main(["", str(machine)]) == 1
    assert "only the agent can verify signatures" in capfd.readouterr().out


FINISHED = cache(5)


def finished(machine: Path, agent_yaml: bytes) -> None:
    """Give a machine a finished generation that came with the boot, and an agent.yaml that no agent has seen."""
    put(machine, "/run/ordain/boot/handed", FINISHED)
    put(machine, "/etc/ordain/agent.yaml", agent_yaml)


@pytest.mark.parametrize("name", ["an empty map", "JSON", "a byte order mark", "trust", "trust, escaped", "labels"])
def test_a_finished_generation_is_placed_if_agent_yaml_accepts_unsigned_documents(machine: Path, name: str) -> None:
    text, settings = GOOD[name]
    finished(machine, text.encode())
    assert run(machine)["from"] == ["nothing" if settings.trust is Trust.REQUIRED else "handed"]


@pytest.mark.parametrize("name", ["a list", "broken YAML", "broken YAML after trust", "a duplicate key", "trust"])
def test_a_finished_generation_is_not_placed_if_agent_yaml_is_wrong(machine: Path, name: str) -> None:
    finished(machine, BAD[name][0].encode())
    assert run(machine)["from"] == ["nothing"]


def test_agent_yaml_is_not_read_where_the_agent_recorded_its_trust(machine: Path) -> None:
    finished(machine, b"trust: open\n")
    put(machine, TRUST, trust_record("open", b"trust: open\n"))
    script(machine.parent, "touch $2/ran")
    assert run(machine)["from"] == ["handed"]
    assert not (machine / "ran").exists()


def test_a_baked_image_has_the_record(machine: Path) -> None:
    put(machine, "/usr/lib/systemd/system-generators/ordain-generator", b"", 0o755)
    put(machine, "/etc/ordain/agent.yaml", b"{trust: open}\n")
    assert TRUST in bake(machine, [("a.json", LAYER)]).written
    assert TRUST not in bake(machine, [("a.json", LAYER)]).written
    assert (machine / TRUST.lstrip("/")).read_bytes() == trust_record("open", b"{trust: open}\n")


@pytest.mark.parametrize(
    ("program", "note"),
    [
        ("exit 1", "agent.yaml has changed, and may accept"),
        ("echo trust=", "agent.yaml has changed, and may accept"),
        ("echo trust=open; echo trust=open", "agent.yaml has changed, and may accept"),
        ("echo trust=anything", "agent.yaml has changed, and may accept"),
        ("echo no module named ordain >&2", "no module named ordain"),
        ("exec sleep 1000", "agent.yaml was not read within 1 s"),
        ("", "No such file or directory"),
    ],
)
def test_a_finished_generation_is_not_placed_if_the_program_that_reads_agent_yaml_fails(
    machine: Path, monkeypatch: pytest.MonkeyPatch, program: str, note: str
) -> None:
    finished(machine, b"trust: open\n")
    monkeypatch.setattr(early, "SECONDS", 1)
    script(machine.parent, program)
    if not program:
        (machine.parent / "program").unlink()

    found = run(machine)

    assert found["from"] == ["nothing"]
    assert note in "\n".join(found["note"])


def test_the_cache_of_the_first_boot_stays_at_a_reload_without_a_record(machine: Path) -> None:
    put(machine, "/run/ordain/document.json", LAYER)
    put(machine, "/etc/ordain/agent.yaml", b"trust: open\n")
    first = run(machine)["from"]
    script(machine.parent, "touch $2/ran")
    assert (first, run(machine)["from"]) == (["handed"], ["handed"])
    assert not (machine / "ran").exists()
