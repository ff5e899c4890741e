"""ordain-install: installs the system that the initrd has unpacked to the disk that the arguments of the kernel name.

The initrd runs it in the unpacked root (packaging/initrd/netboot), and reads `OUTCOME` afterwards.
"""

from __future__ import annotations

import os
from pathlib import Path

from ordain.agent.errors import Failure
from ordain.agent.install.boot_loader import firmware_of
from ordain.agent.install.disks import list_disks
from ordain.agent.install.installer import InstallSource, install
from ordain.agent.install.start_file import kernel_words
from ordain.agent.install.tools import Tools
from ordain.agent.system import atomic_files
from ordain.transforms.netboot.disk_plan import parse_words

WORK = Path("/run/ordain/install")
HANDED = Path("/run/ordain/handed")
OUTCOME = WORK / "outcome"
"""Two lines: the state, ``installed`` or ``refused``, and the identity of the installation or the reason."""


def main() -> int:
    """Install, and return the exit status."""
    root = Path("/")
    try:
        words = kernel_words(Path("/proc/cmdline").read_text())
        source = InstallSource(
            root=root,
            handed=HANDED,
            work=WORK,
            release=os.uname().release,
            firmware=firmware_of(root),
            words=words,
        )
        outcome = install(parse_words(words), source, list_disks(root), Tools(), _say)
        state, text = "installed", outcome.id
        _say(f"{outcome.disk} {'has now' if outcome.changed else 'has'} the installation {outcome.id}")
    except (Failure, ValueError) as error:
        state, text = "refused", str(error)
    except OSError as error:
        state, text = "refused", atomic_files.describe_error(error, Path(str(error.filename or "a disk")))
    WORK.mkdir(parents=True, exist_ok=True)
    OUTCOME.write_text(f"{state}\n{' '.join(text.split())}\n")
    return 0 if state == "installed" else 1


def _say(text: str) -> None:
    """Print a line on the console, also on one that the kernel argument "quiet" makes quiet."""
    try:
        with Path("/dev/kmsg").open("w") as console:
            console.write(f"<4>ordain-install: {text}\n")
    except OSError:
        print(f"ordain-install: {text}", flush=True)
