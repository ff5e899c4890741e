"""Machines that boot from the network are listed, adopted, and counted when images are removed."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from ordain.agent.cli.main import main
from ordain.agent.netboot.images import add_image, list_images
from ordain.agent.netboot.machine_records import MachineRecords, NetbootRecord
from ordain.transforms.netboot.boot_image import BootImage, ImageFile

NEW, KNOWN = "52:54:00:00:00:01", "52:54:00:00:00:02"
LAYER = "ordain: v1\nkind: Layer\nname: base\nnetboot: {image: %s}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a directory with ``documents``, ``state`` and ``files``, which has five versions of an image."""
    for name in ("documents", "state", "files"):
        (tmp_path / name).mkdir()
    (tmp_path / "documents/base.yaml").write_text(LAYER % "a:2")
    for number in range(5):
        made = tmp_path / "files/images/.new"
        made.mkdir(parents=True)
        for name in ("kernel", "initrd", "root"):
            (made / name).write_bytes(b"x")
        file = ImageFile(sha256="00" * 32, size=1)
        content = BootImage(
            os="debian-13", release=f"6.{number}", generation="", memory=1, kernel=file, initrd=file, root=file
        )
        add_image(tmp_path / "files", "a", made, content)
    first = str(list_images(tmp_path / "files")[0].reference)
    records = MachineRecords(tmp_path / "state")
    records.put(NetbootRecord(machine=NEW, last=1.0, said={"system-product-name": "R640"}))
    records.put(NetbootRecord(machine=KNOWN, node="web1", last=1.0, image=first, problems=("base.yaml:4: wrong",)))
    records.write(records.take_changes())
    return tmp_path


def test_discovered_machines_are_listed_with_what_they_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "discovered", str(folder / "state")]) == 0
    text = capsys.readouterr().out
    assert NEW in text
    assert "R640" in text
    assert KNOWN not in text

    assert main(["fleet", "discovered", "--json", str(folder / "state")]) == 0
    assert [machine["machine"] for machine in json.loads(capsys.readouterr().out)] == [NEW]


def test_the_status_has_all_machines_and_their_problems(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["netboot", "status", str(folder / "state")]) == 3
    text = capsys.readouterr().out
    assert "web1: base.yaml:4: wrong" in text
    assert "a:1 (" in text
    assert "discovered" in text
    assert "INSTALLED" not in text, "no machine has an image on its disk, or should have"


def test_the_status_has_the_image_on_the_disk_of_each_machine(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = str(list_images(folder / "files")[1].reference)
    known = NetbootRecord(machine=KNOWN, node="web1", last=1.0)
    wants = replace(known, script="#!ipxe\nkernel k ordain.install=once ordain.install.id=0123456789abcdef\n")
    rows = {
        "52:54:00:00:01:01": replace(known, installed="0123456789abcdef", installed_image=image, installed_at=9.0),
        "52:54:00:00:01:02": replace(known, installed="0123456789abcdef"),
        "52:54:00:00:01:03": replace(known, not_installed="/dev/sda is not empty"),
        "52:54:00:00:01:04": wants,
    }
    records = MachineRecords(folder / "state")
    for machine, record in rows.items():
        records.put(replace(record, machine=machine))
    records.write(records.take_changes())

    main(["netboot", "status", str(folder / "state")])
    header, *lines = capsys.readouterr().out.splitlines()
    column = header.index("INSTALLED")
    by_machine = {line.split()[0]: line[column:].strip() for line in lines if line.startswith("52:")}
    assert re.fullmatch(r"a:2 \([0-9a-f]+\), .* ago", by_machine.pop("52:54:00:00:01:01"))
    assert by_machine == {
        NEW: "no",
        KNOWN: "no",
        "52:54:00:00:01:02": "another image",
        "52:54:00:00:01:03": "not installed",
        "52:54:00:00:01:04": "not yet",
    }

    main(["netboot", "status", "--json", str(folder / "state")])
    machines = {machine["machine"]: machine for machine in json.loads(capsys.readouterr().out)}
    machine = machines["52:54:00:00:01:01"]
    assert (machine["installed_image"], machine["installed_at"]) == (image, 9.0)


def test_an_adopted_machine_has_a_node(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fleet", "adopt", "52-54-00-00-00-01", "--name", "web3", "--label", "role=web", "--label", "rack=07"]
    assert main([*words, "--documents", str(folder / "documents"), "--state", str(folder / "state")]) == 0
    capsys.readouterr()

    assert main(["validate", str(folder / "documents")]) == 0
    text = (folder / "documents/web3.yaml").read_text()
    assert text.endswith('match: {mac: "52:54:00:00:00:01"}\nlabels:\n  role: "web"\n  rack: "07"\n')

    for name, what in (("web3", "there is a Node web3"), ("web4", "the Node web3 already matches")):
        capsys.readouterr()
        assert main(["fleet", "adopt", NEW, "--name", name, "--documents", str(folder / "documents")]) == 1
        assert what in capsys.readouterr().err


def test_a_node_is_printed_without_a_directory(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "adopt", NEW, "--name", "web3"]) == 0
    assert capsys.readouterr().out == f'ordain: v1\nkind: Node\nname: "web3"\nmatch: {{mac: "{NEW}"}}\n'


@pytest.mark.parametrize(
    ("words", "status", "what"),
    [
        (["nonsense", "--name", "a"], 2, "must be a MAC address"),
        ([NEW, "--name", "a", "--label", "b"], 2, "--label must be KEY=VALUE"),
        ([NEW, "--name", "../a"], 1, "name"),
        (["52:54:00:00:00:0f", "--name", "a", "--state", "state"], 1, "has not asked this boot server"),
    ],
)
def test_a_machine_that_cannot_be_adopted_is_refused(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    status: int,
    what: str,
) -> None:
    monkeypatch.chdir(folder)
    assert main(["fleet", "adopt", *words]) == status
    assert what in capsys.readouterr().err


def test_images_that_nobody_uses_are_removed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["netboot", "prune", str(folder / "files"), "--documents", str(folder / "documents")]
    words += ["--state", str(folder / "state"), "--keep", "1"]
    assert main([*words, "--dry-run"]) == 0
    assert "would remove a:3" in capsys.readouterr().out
    assert len(list_images(folder / "files")) == 5

    assert main([*words, "--json"]) == 0
    pruned = json.loads(capsys.readouterr().out)
    assert [image["version"] for image in pruned["removed"]] == [3, 4]
    left = [image.reference.version for image in list_images(folder / "files")]
    assert left == [1, 2, 5], "a machine has 1, a document names 2, and 5 is the latest"


def test_nothing_is_removed_while_a_template_may_name_any_image(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "documents/base.yaml").write_text(LAYER % '{template: "a:{{ values.n }}"}')
    words = ["netboot", "prune", str(folder / "files"), "--documents", str(folder / "documents")]
    assert main([*words, "--state", str(folder / "state")]) == 1
    assert "the image comes from a template" in capsys.readouterr().err
    assert len(list_images(folder / "files")) == 5


def test_images_are_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["netboot", "images", str(folder / "files")]) == 0
    assert capsys.readouterr().out.count("debian-13") == 5
    assert main(["netboot", "images", str(folder / "missing")]) == 1
    assert "directory not found" in capsys.readouterr().err


def test_the_image_of_the_next_boot_is_chosen_and_taken_back(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    once = folder / "state/52-54-00-00-00-02.once"
    words = ["fleet", "boot", "web1", "--state", str(folder / "state")]
    assert main([*words, "--once", "a:3", "--files", str(folder / "files")]) == 0
    assert once.read_text() == f"{list_images(folder / 'files')[2].reference}\n"
    assert main(words) == 0
    assert not once.exists()

    for more, status, what in (
        (["--once", "a:9", "--files", str(folder / "files")], 1, "image a:9: not found"),
        (["--once", "A"], 2, "use NAME, NAME:VERSION"),
    ):
        capsys.readouterr()
        assert main([*words, *more]) == status
        assert what in capsys.readouterr().err
    assert main(["fleet", "boot", "web2", "--state", str(folder / "state")]) == 1
    assert "no machine web2 has asked this boot server; did you mean web1" in capsys.readouterr().err
