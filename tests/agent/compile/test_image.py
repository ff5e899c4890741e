"""`ordainctl image` bakes documents into the root file system of an image."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from ordain.agent.compile.image import GENERATOR, bake
from ordain.agent.errors import Failure
from ordain.generator.cache import unpack
from ordain.generator.choose import BASELINE
from ordain.transforms.errors import Refused

LAYER = b"ordain: v1\nkind: Layer\nname: a\nservices: {a: {command: /bin/true}}\n"
PATH = "/etc/ordain/documents/a.yaml"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a Debian 13 with Ordain installed."""
    for path, text in {
        GENERATOR: "",
        "etc/os-release": "ID=debian\nVERSION_ID=13\n",
        "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
        "usr/lib/systemd/libsystemd-shared-257.so": "",
    }.items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return tmp_path


def content(root: Path) -> dict[str, tuple[bytes, int]]:
    return {
        os.fspath(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in root.rglob("*")
        if path.is_file()
    }


def test_bake_writes_the_document_and_a_baseline_for_any_machine(root: Path) -> None:
    baked = bake(root, [("somewhere/a.yaml", LAYER)])
    assert baked.written == (PATH, BASELINE)
    assert (root / PATH.lstrip("/")).read_bytes() == LAYER
    cache = unpack((root / BASELINE.lstrip("/")).read_bytes())
    assert (cache.machine_id, cache.boot_id, cache.number, cache.hash) == ("", "", 0, baked.generation.hash)
    (text,) = [content for path, _, content, _ in cache.entries if path == "normal/a.service"]
    assert text is not None
    assert f"# {PATH}:4 a services/a/command\n".encode() in text, "the path is the one on the machine"


def test_a_second_bake_writes_nothing(root: Path) -> None:
    bake(root, [("a.yaml", LAYER)])
    before = content(root)
    assert bake(root, [("a.yaml", LAYER)]).written == ()
    assert bake(root, []).written == ()
    assert content(root) == before


def test_documents_that_the_image_already_has_are_compiled_too(root: Path) -> None:
    bake(root, [("a.yaml", LAYER)])
    baked = bake(root, [("b.yaml", LAYER.replace(b"a:", b"b:").replace(b"name: a", b"name: b"))])
    assert baked.documents == 2
    assert baked.written == ("/etc/ordain/documents/b.yaml", BASELINE)


def test_a_shorter_document_replaces_a_longer_one(root: Path) -> None:
    bake(root, [("a.yaml", LAYER + b"# more\n")])
    assert bake(root, [("a.yaml", LAYER)]).written[0] == PATH
    assert (root / PATH.lstrip("/")).read_bytes() == LAYER


def test_invalid_documents_change_nothing(root: Path) -> None:
    before = content(root)
    with pytest.raises(Refused, match=r"mine/a\.yaml:4"):
        bake(root, [("mine/a.yaml", LAYER.replace(b"command", b"comand"))])
    assert content(root) == before


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda root: (root / GENERATOR).unlink(), "Ordain is not installed there"),
        (lambda root: (root / "run/systemd/system").mkdir(parents=True), "a system runs there"),
    ],
)
def test_a_root_without_ordain_or_with_a_running_system_is_refused(root: Path, spoil: object, what: str) -> None:
    assert callable(spoil)
    spoil(root)
    with pytest.raises(Failure, match=what):
        bake(root, [("a.yaml", LAYER)])


def test_two_files_with_the_same_name_are_refused(root: Path) -> None:
    with pytest.raises(Failure, match=r"another file .* is also called a\.yaml"):
        bake(root, [("one/a.yaml", LAYER), ("two/a.yaml", LAYER + b"\n")])


def test_an_image_without_documents_is_refused(root: Path) -> None:
    with pytest.raises(Failure, match="no documents"):
        bake(root, [])


def test_facts_that_only_a_boot_tells_are_listed(root: Path) -> None:
    layer = LAYER.replace(b"services", b'match: {mac: "02:00:00:00:00:01"}\nservices')
    assert bake(root, [("a.yaml", layer)]).unknown == ("mac",)


def test_facts_in_the_template_of_a_file_and_in_no_image_are_listed(root: Path) -> None:
    layer = LAYER + b"files: {/etc/n: {template: '{{ facts.cpus }} {{ facts.rack }} {{ facts.package|length }}'}}\n"
    assert bake(root, [("a.yaml", layer)]).unknown == ("cpus", "facts.rack")


def test_a_document_that_is_a_link_is_read_below_the_root(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The tree of an image may be made by others: it gets no file of the machine on which the image is made."""
    outside = tmp_path_factory.mktemp("outside") / "secret.yaml"
    outside.write_bytes(LAYER)
    folder = root / "etc/ordain/documents"
    folder.mkdir(parents=True)
    (folder / "x.yaml").symlink_to(outside)
    with pytest.raises(Failure, match=re.escape(str(outside))):
        bake(root, [])

    inside = root / str(outside).lstrip("/")
    inside.parent.mkdir(parents=True)
    inside.write_bytes(LAYER.replace(b"/bin/true", b"/bin/false"))
    assert "/bin/false" in repr(bake(root, []).generation)


def test_links_are_resolved_below_the_root(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (root / "etc/ordain").symlink_to(f"{outside}")
    bake(root, [("a.yaml", LAYER)])
    assert not list(outside.iterdir())
    assert (root / os.fspath(outside).lstrip("/") / "documents/a.yaml").read_bytes() == LAYER
