"""The programs of an initrd of initramfs-tools without busybox: those of klibc-utils, and those that our hook adds."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

HOOK = Path(__file__).parents[3] / "packaging/initramfs-tools/hook"
KLIBC = "cat cpio dd ln ls mkdir mkfifo mknod mount mv readlink reboot sh sleep sync umount".split()
"""Programs below /usr/lib/klibc/bin of Debian's package klibc-utils."""
ALWAYS = "curl zstd sha256sum tar".split()
"""Programs that the hook adds where they are installed; its tar has a path of its own."""


def programs_without_busybox(folder: Path) -> str:
    """Make a directory in ``folder`` with nothing but these programs, and return it as a PATH."""
    (added,) = re.findall(r"for program in ([a-z ]+); do", HOOK.read_text())
    tools = folder / "bin"
    tools.mkdir()
    for name in [*KLIBC, *ALWAYS, *added.split()]:
        if (program := shutil.which(name)) is not None:
            (tools / name).symlink_to(program)
    return str(tools)
