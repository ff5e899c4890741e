"""`ordainctl image --netboot` makes the same bytes of the same tree, with all that a machine needs."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from ordain.agent.errors import Failure
from ordain.agent.netboot import initrd_names as initrd_module
from ordain.agent.netboot.images import find_image, list_images, read_image, unused_images
from ordain.agent.netboot.initrd_names import initrd_names
from ordain.agent.netboot.pack import NEEDED, memory_of, pack
from ordain.transforms.netboot.boot_image import ImageReference
from rig import qemu

INITRD = {name if "/" in name else f"usr/bin/{name}": b"" for name in NEEDED}
KERNEL = "6.12.9-amd64"

pytestmark = pytest.mark.skipif(shutil.which("zstd") is None, reason="needs zstd")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a small tree with a kernel, an initrd, and files of several kinds."""
    return make_tree(tmp_path / "root")


def make_tree(top: Path) -> Path:
    for path, data in {
        "etc/os-release": b'ID=debian\nVERSION_ID="13"\n',
        f"boot/vmlinuz-{KERNEL}": b"kernel",
        f"boot/initrd.img-{KERNEL}": qemu.cpio(INITRD),
        "boot/vmlinuz-6.2.10-amd64": b"an older kernel",
        "usr/bin/program": b"#!/bin/sh\n",
        "usr/share/a file": b"x" * 5000,
        "run/left": b"out",
    }.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_bytes(data)
        os.utime(top / path, (1_700_000_000, 1_700_000_000.25))
    (top / "usr/bin/program").chmod(0o4755)
    os.link(top / "usr/share/a file", top / "usr/share/link")
    (top / "bin").symlink_to("usr/bin")
    os.utime(top / "bin", (1_700_000_000, 1_700_000_000), follow_symlinks=False)
    for folder, _, _ in os.walk(top):
        os.utime(folder, (1_700_000_000, 1_700_000_000))
    return top


def listing(archive: Path) -> list[str]:
    command = f"zstd -dc {archive} | tar --list --verbose --full-time --utc --file -"
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout.splitlines()


def test_an_image_has_the_latest_kernel_its_initrd_and_the_whole_tree(root: Path, tmp_path: Path) -> None:
    image, new = pack(root, tmp_path / "files")

    assert new
    assert (image.reference.name, image.reference.version) == ("debian-13", 1)
    assert (image.path / "kernel").read_bytes() == b"kernel"
    assert image.content.release == KERNEL
    for name in ("kernel", "initrd", "root"):
        data = (image.path / name).read_bytes()
        file = getattr(image.content, name)
        assert (file.sha256, file.size) == (hashlib.sha256(data).hexdigest(), len(data))
    (tmp_path / "unpacked").mkdir()
    command = f"zstd -dc {image.path}/root | tar --extract --preserve-permissions --directory {tmp_path}/unpacked"
    subprocess.run(["sh", "-c", command], check=True)
    unpacked = tmp_path / "unpacked"
    assert (unpacked / "usr/share/a file").stat().st_ino == (unpacked / "usr/share/link").stat().st_ino
    assert stat.S_IMODE((unpacked / "usr/bin/program").stat().st_mode) == 0o4755
    assert (unpacked / "bin").readlink() == Path("usr/bin")
    assert (unpacked / "run").is_dir(), "a mount point is kept, and its content is not"
    assert {path.name for path in unpacked.rglob("*")} & {"left", f"vmlinuz-{KERNEL}"} == set()


def test_the_same_tree_gives_the_same_bytes_wherever_it_is(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_tree(tmp_path / "elsewhere/other")
    first, _ = pack(root, tmp_path / "one")
    second, _ = pack(other, tmp_path / "two")
    assert first.reference.digest == second.reference.digest

    (other / "etc/os-release").touch()
    third, new = pack(other, tmp_path / "two")
    assert new, "a time is content"
    assert third.reference.digest != first.reference.digest

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    fourth, _ = pack(other, tmp_path / "three")
    assert fourth.reference.digest == first.reference.digest, "a later time is cut off"
    assert all("2023-11-14 22:13:20" in line for line in listing(fourth.path / "root"))


def test_the_same_content_does_not_become_another_version(root: Path, tmp_path: Path) -> None:
    files = tmp_path / "files"
    pack(root, files)
    (root / "usr/bin/program").write_text("#!/bin/sh\nexit 1\n")
    second, _ = pack(root, files)

    again, new = pack(root, files)

    assert (new, again.reference) == (False, second.reference)
    assert [image.reference.version for image in list_images(files)] == [1, 2]
    assert sorted(path.name for path in (files / "images").iterdir()) == ["debian-13"], "no workspace is left"


def test_an_image_is_found_by_its_name_version_and_digest(root: Path, tmp_path: Path) -> None:
    files = tmp_path / "files"
    first, _ = pack(root, files, name="web")
    (root / "usr/bin/program").write_text("other")
    second, _ = pack(root, files, name="web")

    assert find_image(files, ImageReference(name="web")) == second
    assert find_image(files, first.reference) == first
    with pytest.raises(Failure, match="the image on this server has the digest sha256:"):
        find_image(files, ImageReference(name="web", version=2, digest=first.reference.digest))
    with pytest.raises(Failure, match=r"image web:3: not found below .*; the latest are web:1, web:2"):
        find_image(files, ImageReference(name="web", version=3))


def test_an_image_with_a_file_that_is_not_whole_is_not_used(root: Path, tmp_path: Path) -> None:
    image, _ = pack(root, tmp_path)
    os.truncate(image.path / "root", 10)

    with pytest.raises(Failure, match="it has 10 bytes and should have"):
        read_image(tmp_path, "debian-13", 1)
    assert list_images(tmp_path) == ()


def test_an_initrd_that_cannot_fetch_a_root_is_named_with_the_remedy(root: Path, tmp_path: Path) -> None:
    (root / f"boot/initrd.img-{KERNEL}").write_bytes(qemu.cpio({f"usr/bin/{name}": b"" for name in NEEDED[3:]}))

    with pytest.raises(Failure, match=r"it has no usr/lib/ordain/initrd-netboot, curl, zstd; install ordain-initramfs"):
        pack(root, tmp_path / "files")
    assert list_images(tmp_path / "files") == ()


@pytest.mark.parametrize(("path", "what"), [("boot/initrd.img-", "not found"), ("boot/vmlinuz-", "there is no kernel")])
def test_a_tree_without_a_part_is_refused(root: Path, tmp_path: Path, path: str, what: str) -> None:
    for file in (root / "boot").glob(f"{path.partition('/')[2]}*"):
        file.unlink()

    with pytest.raises(Failure, match=what):
        pack(root, tmp_path / "files")


def test_a_tar_that_warns_of_very_much_is_not_waited_for(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    tar = tmp_path / "bin/tar"
    tar.write_text("#!/bin/sh\necho tar: first >&2\nseq 100000 >&2\nexit 2\n")
    tar.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    with pytest.raises(Failure, match="cannot be packed: tar: first"):
        pack(root, tmp_path / "srv")


def test_the_memory_of_a_root_is_that_of_its_pages_and_files(tmp_path: Path) -> None:
    for path, size in {"a": 1, "b": 4096, "c": 4097, "boot/big": 1 << 20}.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(bytes(size))
    os.link(tmp_path / "c", tmp_path / "same")

    assert memory_of(tmp_path) == (1 + 1 + 2) * 4096 + 3 * 1024


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress, lambda data: zstd(data)])
def test_all_archives_of_an_initrd_are_read(tmp_path: Path, compress: object) -> None:
    early = qemu.cpio({"kernel/x86/microcode": b"12345"})
    assert callable(compress)
    (tmp_path / "initrd").write_bytes(early + bytes(-len(early) % 512) + compress(qemu.cpio(INITRD)))

    assert {"kernel/x86/microcode", *INITRD} <= initrd_names(tmp_path / "initrd")


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-c", "-q"], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("data", [b"", b"070701", b"\x1f\x8bnonsense", b"070701" + b"f" * 104, b"x" * 100])
def test_data_that_is_not_an_initrd_has_no_names(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "initrd").write_bytes(data)

    assert initrd_names(tmp_path / "initrd") == frozenset()


@pytest.mark.parametrize("name", [f"vmlinuz-{KERNEL}", f"initrd.img-{KERNEL}"])
@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
def test_a_boot_file_that_is_none_is_refused_and_not_copied(root: Path, tmp_path: Path, name: str, kind: str) -> None:
    path = root / "boot" / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        os.mknod(path, stat.S_IFSOCK | 0o666)
    elif os.geteuid():
        pytest.skip("only root makes devices")
    else:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero has no end

    with pytest.raises(Failure, match=f"{name}: "):
        pack(root, tmp_path / "files")

    assert list_images(tmp_path / "files") == ()


def test_odd_names_of_kernels_are_passed_over(root: Path, tmp_path: Path) -> None:
    for release in ("99\nx", "9\u00b2", "98 \x1b[2J"):
        (root / "boot" / f"vmlinuz-{release}").write_bytes(b"odd")

    assert pack(root, tmp_path / "files")[0].content.release == KERNEL


def test_a_hostile_initrd_is_read_to_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initrd_module, "MAX_BYTES", 1 << 20)
    member = bytearray(qemu.cpio({"a": b"x" * 100}))
    member[54:62] = b"-00000ff"  # back to a member before
    nested = qemu.cpio({"deep": b""})
    for _ in range(50):
        nested = gzip.compress(nested)
    bomb = subprocess.run(["zstd", "-q", "-c"], input=bytes(64 << 20), capture_output=True, check=True).stdout
    for data in (bytes(member), nested, bomb, qemu.cpio({"a": b""}) + bomb):
        (tmp_path / "initrd").write_bytes(data)

        assert initrd_names(tmp_path / "initrd") <= {"a", "TRAILER!!!"}


def test_an_image_that_nobody_needs_is_unused(root: Path, tmp_path: Path) -> None:
    for number in range(5):
        (root / "usr/bin/program").write_text(str(number))
        pack(root, tmp_path, name="a")
    images = list_images(tmp_path)
    named = [ImageReference(name="a", version=2), ImageReference(name="b")]

    unused = unused_images(images, named, running=[images[0].reference.digest], keep=1)

    assert [image.reference.version for image in unused] == [3, 4], "1 runs, 2 is named, 5 is the latest"
