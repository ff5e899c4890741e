"""The key of this machine as a credential: sealed by systemd-creds where that works, else a file of root.

    /etc/credstore.encrypted/ordain.machine-key    sealed to the TPM, or to the host's own key
    /etc/credstore/ordain.machine-key              mode 0600, where nothing can seal it

A key may also come with the boot: from the hypervisor or the boot server (`RECEIVED`). Such a key is only read here.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from ordain.agent.delivery.identity.machine_key import CREDENTIAL, PrivateKey, machine_key_line, parse_machine_key
from ordain.agent.errors import Failure
from ordain.agent.system import atomic_files
from ordain.transforms.machine import rootfs

PLAIN = "etc/credstore"
SEALED = "etc/credstore.encrypted"
RECEIVED_SEALED = ("run/credstore.encrypted", "run/credentials/@encrypted", "usr/lib/credstore.encrypted")
RECEIVED = ("run/credstore", "run/credentials/@system", "usr/lib/credstore")
NEXT = f"{CREDENTIAL}-next"
"""The credential with a new key, until the store has its public half."""
_LIMIT = 1 << 14
_SEAL_SEC = 60.0

Program = Callable[[Sequence[str], bytes], bytes]
"""Run a program with this input, and return its output. Raises OSError."""


def run_program(argv: Sequence[str], data: bytes) -> bytes:
    """Run a program; see `Program`."""
    try:
        done = subprocess.run(argv, input=data, capture_output=True, check=False, timeout=_SEAL_SEC)
    except subprocess.TimeoutExpired:
        raise OSError(f"{argv[0]}: no result within {_SEAL_SEC:.0f} s") from None
    if done.returncode:
        raise OSError(f"{argv[0]}: {done.stderr.decode(errors='replace').strip()[-300:]}")
    return done.stdout


def place_of_key(root: Path, name: str = CREDENTIAL) -> str:
    """Return the path of the file with the key, "" if there is none. Sealed files come first, as PID 1 has it."""
    places = (SEALED, *RECEIVED_SEALED, PLAIN, *RECEIVED)
    return next((f"/{folder}/{name}" for folder in places if rootfs.exists(root, f"{folder}/{name}")), "")


def read_machine_key(root: Path, name: str = CREDENTIAL, program: Program = run_program) -> PrivateKey | None:
    """Return the key of the machine below ``root``, None if it has none. Raises `Failure`."""
    path = place_of_key(root, name)
    if not path:
        return None
    try:
        data = atomic_files.read(root / path.lstrip("/"), _LIMIT)
        if is_sealed(path):
            data = program(["systemd-creds", "decrypt", f"--name={name}", "-", "-"], data)
        return parse_machine_key(data.decode().strip())
    except OSError as error:
        raise Failure(f"{path}: cannot read the key of this machine: {error.strerror or error}") from None
    except ValueError as error:
        raise Failure(f"{path}: cannot read the key of this machine: {error}") from None


def is_sealed(path: str) -> bool:
    """Return whether a path of `place_of_key` is that of a sealed file."""
    return path.lstrip("/").rpartition("/")[0] in (SEALED, *RECEIVED_SEALED)


def write_machine_key(root: Path, key: PrivateKey, name: str = CREDENTIAL, program: Program = run_program) -> str:
    """Write the key for the machine below ``root``, and return the path. Raises `Failure`.

    Only the running machine can seal it: the keys that systemd-creds seals with are its own.
    """
    line = f"{machine_key_line(key)}\n".encode()
    sealed: bytes | None = None
    if root == Path("/"):
        try:
            sealed = program(["systemd-creds", "encrypt", f"--name={name}", "-", "-"], line)
        except OSError:
            sealed = None  # no systemd-creds, no TPM, or no lasting /var: the file is root's alone instead
    folder = SEALED if sealed is not None else PLAIN
    path = root / folder / name
    try:
        atomic_files.make_folder(path.parent)
        path.parent.chmod(0o700)
        atomic_files.replace(path, line if sealed is None else sealed)
    except OSError as error:
        raise Failure(atomic_files.describe_error(error, path)) from None
    remove_machine_key(root, name, but=folder)
    return f"/{folder}/{name}"


def remove_machine_key(root: Path, name: str, but: str = "") -> None:
    """Remove the files with the key below ``root``, except that in the folder ``but``. Raises `Failure`."""
    for folder in (SEALED, PLAIN):
        if folder == but:
            continue
        path = root / folder / name
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise Failure(atomic_files.describe_error(error, path)) from None
