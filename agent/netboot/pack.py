"""Packs a root file system into an image that machines start from the network.

    ROOT ─pack▶ FILES/images/NAME/VERSION/{kernel,initrd,root,image.json}

The kernel and the initrd are those in /boot of the tree; the initrd is made there, by initramfs-tools or dracut with
the package ordain-initramfs. The same tree gives the same bytes: members are sorted, times are whole seconds, and no
later than SOURCE_DATE_EPOCH if that is set (https://reproducible-builds.org/specs/source-date-epoch/), and zstd gives
the same output for any number of threads (zstd(1), of one version).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ordain.agent.errors import Failure
from ordain.agent.netboot.images import StoredImage, add_image
from ordain.agent.netboot.initrd_names import initrd_names
from ordain.agent.system import atomic_files
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.machine import rootfs
from ordain.transforms.netboot.boot_image import IMAGES, BootImage, ImageFile

LEFT_OUT = ("boot", "dev", "proc", "run", "sys", "tmp")
"""Directories at the top of the tree whose content is not packed: mount points, and what iPXE fetches itself."""
KERNELS = ("vmlinuz-{release}", "vmlinux-{release}")
INITRDS = ("initrd.img-{release}", "initramfs-{release}.img")
NEEDED = ("usr/lib/ordain/initrd-netboot", "curl", "zstd", "tar", "sha256sum", "grep", "head", "rm", "sed", "tee", "wc")
"""The file of ours, and the programs, that an initrd needs to fetch a root."""
PAGE, INODE = 4096, 1024
"""The memory of a page, and about that of a file without its content, in a tmpfs."""
_RELEASE = lazy_pattern(r"vmlinu[zx]-([!-~]+)")
_COPY = 1 << 20


def pack(root: Path, files: Path, *, name: str = "", generation: str = "") -> tuple[StoredImage, bool]:
    """Add an image of the tree ``root``, and return it; see `add_image`. Raises `Failure`."""
    os_name = _os_name(root)
    name = name or os_name
    release = _latest_kernel(root)
    kernel, initrd = (_boot_file(root, patterns, release) for patterns in (KERNELS, INITRDS))
    _check_initrd(initrd)
    for program in ("tar", "zstd"):
        if shutil.which(program) is None:
            raise Failure(f"{program} is not installed here; install it to make images")
    with _workspace(files, name) as made:
        try:
            content = BootImage(
                os=os_name,
                release=release,
                generation=generation,
                memory=memory_of(root),
                kernel=_copy(kernel, made / "kernel"),
                initrd=_copy(initrd, made / "initrd"),
                root=_archive(root, made / "root"),
            )
        except OSError as error:
            raise Failure(atomic_files.describe_error(error, made)) from None
        return add_image(files, name, made, content)


def memory_of(root: Path) -> int:
    """Return the bytes of memory that the packed files take in a tmpfs. Raises `OSError`."""
    seen: set[tuple[int, int]] = set()
    memory = 0
    for folder, folders, names in os.walk(root, onerror=_raise):
        if Path(folder) == root:
            for top in LEFT_OUT:
                if top in folders:
                    folders.remove(top)
        for entry in (*folders, *names):
            status = os.lstat(f"{folder}/{entry}")
            if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
            memory += INODE
            if stat.S_ISREG(status.st_mode):
                memory += -(-status.st_size // PAGE) * PAGE
    return memory


def _raise(error: OSError) -> None:
    raise error


def _os_name(root: Path) -> str:
    data = rootfs.read(root, "etc/os-release") or rootfs.read(root, "usr/lib/os-release") or b""
    words = dict(line.partition("=")[::2] for line in data.decode(errors="replace").splitlines())
    parts = [words.get(key, "").strip("\"'") for key in ("ID", "VERSION_ID")]
    name = "-".join(filter(None, parts)).lower()
    return name if re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name) else "image"


def _latest_kernel(root: Path) -> str:
    """Return the release of the latest kernel in /boot."""
    releases = [match[1] for name in rootfs.names(root, "boot") if (match := _RELEASE.fullmatch(name))]
    if not releases:
        raise Failure(
            f"{root}/boot: there is no kernel; install one in the tree, such as the package linux-image-amd64"
        )
    return max(releases, key=_by_numbers)


def _by_numbers(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", text)]


def _boot_file(root: Path, patterns: tuple[str, ...], release: str) -> Path:
    names = [pattern.format(release=release) for pattern in patterns]
    existing = next((name for name in names if rootfs.exists(root, f"boot/{name}")), None)
    if existing is None:
        hint = "install initramfs-tools or dracut, and ordain-initramfs, in the tree"
        raise Failure(f"{root}/boot/{names[0]}: not found; {hint}")
    return rootfs.chase(root, f"boot/{existing}")


def _check_initrd(initrd: Path) -> None:
    """Raise `Failure` unless the initrd can fetch a root."""
    try:
        names = initrd_names(initrd)
    except OSError as error:
        raise Failure(atomic_files.describe_error(error, initrd)) from None
    last = {name.rpartition("/")[2] for name in names}
    absent = [name for name in NEEDED if name not in names and name not in last]
    if absent:
        raise Failure(
            f"{initrd}: it cannot fetch a root, because it has no {', '.join(absent)}; install ordain-initramfs, curl "
            "and zstd in the tree, and make the initrd again (update-initramfs -u, or dracut --force)"
        )


def _archive(root: Path, target: Path) -> ImageFile:
    """Write the packed tree. Raises `Failure`."""
    # Times in parts of a second, and those of access, would need a header of their own for each file.
    words = ["--format=posix", "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime,delete=mtime"]
    words += ["--sort=name", "--numeric-owner", "--xattrs", "--xattrs-include=security.capability"]
    words += ["--xattrs-include=user.*", "--warning=no-file-ignored", "--anchored", "--no-wildcards-match-slash"]
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if epoch:
        if not epoch.isdigit():
            raise Failure(f"SOURCE_DATE_EPOCH={epoch}: not a number of seconds since 1970")
        words += [f"--mtime=@{epoch}", "--clamp-mtime"]
    words += [f"--exclude=./{top}/*" for top in LEFT_OUT]
    environment: Mapping[str, str] = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    tar = ["tar", "--create", *words, "--directory", os.fspath(root), "--file", "-", "."]
    zstd = ["zstd", "-q", "-T0", "-10", "-c"]
    digest = hashlib.sha256()
    with (
        target.open("wb") as out,
        tempfile.TemporaryFile() as errors,  # tar would wait for ever for a reader of a pipe
        subprocess.Popen(tar, stdout=subprocess.PIPE, stderr=errors, env=environment) as reader,
        subprocess.Popen(zstd, stdin=reader.stdout, stdout=subprocess.PIPE, env=environment) as packer,
    ):
        assert reader.stdout is not None
        assert packer.stdout is not None
        reader.stdout.close()
        while data := packer.stdout.read(_COPY):
            digest.update(data)
            out.write(data)
        reader.wait()
        errors.seek(0)
        why = errors.read(_COPY).decode(errors="replace").strip()
        out.flush()
        os.fsync(out.fileno())
    if reader.returncode != 0 or packer.returncode != 0:
        first = why.partition("\n")[0] or "zstd failed"
        raise Failure(f"{root}: it cannot be packed: {first}")
    target.chmod(0o644)
    return ImageFile(sha256=digest.hexdigest(), size=target.stat().st_size)


def _copy(source: Path, target: Path) -> ImageFile:
    """Copy a file of the tree, which somebody else may have made: a device there would be one of this machine."""
    digest = hashlib.sha256()
    with rootfs.open_regular(source) as file, target.open("wb") as out:
        while data := file.read(_COPY):
            digest.update(data)
            out.write(data)
        out.flush()
        os.fsync(out.fileno())
    target.chmod(0o644)
    return ImageFile(sha256=digest.hexdigest(), size=target.stat().st_size)


@contextmanager
def _workspace(files: Path, name: str) -> Iterator[Path]:
    """Yield a new directory beside the images, and remove it if it is still there at the end. Raises `Failure`."""
    try:
        atomic_files.make_folder(files / IMAGES)
        made = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=files / IMAGES))
        made.chmod(0o755)
    except OSError as error:
        raise Failure(atomic_files.describe_error(error, files / IMAGES)) from None
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
