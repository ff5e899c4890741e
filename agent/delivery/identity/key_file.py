"""The keys of this machine as credentials: sealed by systemd-creds where that works, else files of root.

    /etc/credstore.encrypted/ordain.machine-key    sealed to the TPM, or to the host's own key
    /etc/credstore/ordain.machine-key              mode 0600, where nothing can seal it
    …/ordain.secret-key                            the same for the key that opens secrets

A key may also come with the boot: from the hypervisor or the boot server (`RECEIVED`). Such a key is only read here.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from ordain.agent.delivery.identity.decryption_key import CREDENTIAL as SECRET_CREDENTIAL
from ordain.agent.delivery.identity.decryption_key import DecryptionKey, parse_decryption_key
from ordain.agent.delivery.identity.machine_key import CREDENTIAL, PrivateKey, machine_key_line, parse_machine_key
from ordain.agent.errors import Failure
from ordain.agent.system import atomic_files
from ordain.transforms.machine import rootfs

PLAIN = "etc/credstore"
SEALED = "etc/credstore.encrypted"
CREDENTIALS, BOUND = "run/credentials", "run/ordain/credentials"
"""The credentials of the boot, and the same ones as the agent sees them: PID 1 hides the first from its namespace."""
RECEIVED_SEALED = (
    *("run/credstore.encrypted", f"{CREDENTIALS}/@encrypted", f"{BOUND}/@encrypted"),
    "usr/lib/credstore.encrypted",
)
RECEIVED = ("run/credstore", f"{CREDENTIALS}/@system", f"{BOUND}/@system", "usr/lib/credstore")
NEXT = f"{CREDENTIAL}-next"
SECRET_NEXT = f"{SECRET_CREDENTIAL}-next"
"""The credentials with new keys, until the store has their public halves."""
SECRET_EARLIER = f"{SECRET_CREDENTIAL}-earlier"
"""The credential with the key before, for secrets that were not sealed again since."""
_LIMIT = 1 << 14
_SEAL_SEC = 60.0

K = TypeVar("K", PrivateKey, DecryptionKey)
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
    return _read(root, name, "the key of this machine", parse_machine_key, program)


def read_decryption_key(
    root: Path, name: str = SECRET_CREDENTIAL, program: Program = run_program
) -> DecryptionKey | None:
    """Return the key that opens the secrets of the machine below ``root``, None if it has none. Raises `Failure`."""
    path = place_of_key(root, name)
    if path and not is_sealed(path) and (root / path.lstrip("/")).stat().st_mode & 0o077:
        raise Failure(f"{path}: others than root can read it; run `chmod 600 {path}`, then change the key and secrets")
    return _read(root, name, "the key that opens secrets", parse_decryption_key, program)


def read_given_decryption_key(folder: str) -> DecryptionKey | None:
    """Return the key from the credentials that PID 1 gave to this service: it sees none of the boot's itself."""
    path = Path(folder) / SECRET_CREDENTIAL
    if not folder or not path.exists():
        return None
    try:
        return parse_decryption_key(atomic_files.read(path, _LIMIT).decode().strip())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Failure(f"the credential {SECRET_CREDENTIAL}: cannot read the key that opens secrets: {reason}") from None


def _read(root: Path, name: str, title: str, parse: Callable[[str], K], program: Program) -> K | None:
    path = place_of_key(root, name)
    if not path:
        return None
    try:
        data = atomic_files.read(root / path.lstrip("/"), _LIMIT)
        if is_sealed(path):
            data = program(["systemd-creds", "decrypt", f"--name={name}", "-", "-"], data)
        return parse(data.decode().strip())
    except OSError as error:
        raise Failure(f"{path}: cannot read {title}: {error.strerror or error}") from None
    except ValueError as error:
        raise Failure(f"{path}: cannot read {title}: {error}") from None


def path_for_pid1(path: str) -> str:
    """Return the path at which PID 1 finds the file with the key that `place_of_key` has found."""
    return path.replace(f"/{BOUND}/", f"/{CREDENTIALS}/", 1)


def is_sealed(path: str) -> bool:
    """Return whether a path of `place_of_key` is that of a sealed file."""
    return path.lstrip("/").rpartition("/")[0] in (SEALED, *RECEIVED_SEALED)


def write_machine_key(root: Path, key: PrivateKey, name: str = CREDENTIAL, program: Program = run_program) -> str:
    """Write the key for the machine below ``root``, and return the path. Raises `Failure`."""
    return _write(root, name, machine_key_line(key), program)


def write_decryption_key(
    root: Path, key: DecryptionKey, name: str = SECRET_CREDENTIAL, program: Program = run_program
) -> str:
    """Write the key that opens secrets, and return the path. Raises `Failure`."""
    return _write(root, name, key.line, program)


def _write(root: Path, name: str, text: str, program: Program) -> str:
    """Write a key. Only the running machine can seal it: the keys that systemd-creds seals with are its own."""
    line = f"{text}\n".encode()
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
