"""The one file that a disk starts from: the configuration of GRUB, whose first line says what is installed.

    `Installation`, `Start` ─start_text▶ grub.cfg ─read_start▶ `Installation`

It is replaced as a whole, and an installation writes it last: there is no moment at which the disk starts one system
and says that it has another.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ordain.agent.errors import Failure
from ordain.agent.json_codec import from_json
from ordain.agent.model import to_json
from ordain.agent.system import atomic_files
from ordain.transforms.netboot.disk_plan import INSTALL

START = "grub/grub.cfg"
MAX_BYTES = 64 << 10
_MARK = "# ordain "
_DROPPED = (
    "boot",
    "initrd",
    "BOOT_IMAGE",
    "root",
    "rw",
    "ro",
    "ordain.root",
    "ordain.release",
    INSTALL,
    "systemd.machine_id",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The state of a disk of ours.

    ``id`` is the identity of the installation (`install_words`), "" while an installation is unfinished.
    ``root_sha256`` is the digest of its archive, ``partition`` the UUID of its partition, ``machine_id`` that of the
    machine for all installations, and ``loader`` the fingerprint of the boot loader.
    """

    id: str = ""
    root_sha256: str = ""
    partition: str = ""
    machine_id: str = ""
    loader: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The system that the disk starts: the file system of its root, its kernel, its initrds and its arguments."""

    fs_uuid: str
    kernel: str
    initrds: tuple[str, ...]
    words: tuple[str, ...]


def kernel_words(cmdline: str) -> tuple[str, ...]:
    """Return the arguments of a kernel, without its quotes (next_arg() in lib/cmdline.c of Linux)."""
    words: list[str] = []
    word, quoted = "", False
    for character in f"{cmdline.strip()} ":
        if character == '"':
            quoted = not quoted
        elif character.isspace() and not quoted:
            words += [word] if word else []
            word = ""
        else:
            word += character
    return tuple(words)


def lasting_words(words: Iterable[str]) -> tuple[str, ...]:
    """Return the arguments of a kernel that also hold when the system starts from the disk. Raises `Failure`."""
    kept = tuple(word for word in words if not _is_dropped(word.partition("=")[0]))
    wrong = next((word for word in kept if set(word) & set("'\\")), "")
    if wrong:
        raise Failure(f"the boot loader of a disk cannot pass on the argument {wrong}; write it without ' and \\")
    return kept


def _is_dropped(name: str) -> bool:
    return any(name == dropped or name.startswith(f"{dropped}.") for dropped in _DROPPED)


def start_text(installation: Installation, start: Start | None) -> str:
    """Return the configuration of GRUB; without ``start``, it says that the installation is unfinished."""
    return "".join(f"{line}\n" for line in (_MARK + json.dumps(to_json(installation)), *_commands(start)))


def _commands(start: Start | None) -> Iterator[str]:
    if start is None:
        yield "echo 'Ordain: the installation on this disk is not complete; it begins again when this machine boots'"
        yield "echo 'from the network.'"
    else:
        yield f"search --no-floppy --fs-uuid --set=root {start.fs_uuid}"
        words = " ".join(f"'{word}'" for word in (f"root=UUID={start.fs_uuid}", "rw", *start.words))
        yield f"if linux {start.kernel} {words}; then if initrd {' '.join(start.initrds)}; then boot; fi; fi"
        yield "echo 'Ordain: the system on this disk cannot start.'"
    # At a prompt, the machine would wait for ever; the next device may be the network.
    yield "sleep 10"
    yield "exit"


def read_start(esp: Path) -> Installation:
    """Return the state of the disk whose EFI system partition is mounted at ``esp``."""
    try:
        first = atomic_files.read(esp / START, MAX_BYTES).decode(errors="replace").partition("\n")[0]
        return from_json(Installation, json.loads(first.removeprefix(_MARK)))
    except (OSError, ValueError):
        return Installation()


def write_start(esp: Path, installation: Installation, start: Start | None) -> None:
    """Replace the file, and wait until it is on the disk. Raises `OSError`."""
    path = esp / START
    path.parent.mkdir(exist_ok=True)
    atomic_files.replace(path, start_text(installation, start).encode(), 0o644)
