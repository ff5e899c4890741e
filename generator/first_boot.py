"""The first boot: there are documents, but this machine has never made a generation from them.

    documents ──a separate program──▶ /run/ordain/boot/handed, or reasons why there is no generation

For a machine that boots from RAM, every boot is the first. The compile runs in a separate program, because it takes a
fifth of a second, is not needed in other boots, and may crash or hang there without harm to the generator.
"""

from __future__ import annotations

import _socket
from posix import O_CLOEXEC, O_RDONLY, WNOHANG, close, kill, listdir, pipe2, posix_spawn, read, stat, waitpid
from posix import POSIX_SPAWN_DUP2 as DUP2
from posix import POSIX_SPAWN_OPEN as OPEN

PROGRAM = "/usr/lib/ordain/ordain-first-boot"
SECONDS = 20
"""The time limit of the program. It takes a fifth of a second on most machines, and two seconds under emulation."""
DOCUMENTS = "/etc/ordain/documents"
CREDENTIAL = "/run/credentials/@system/ordain.document"
HANDED_OVER = ("/run/ordain/document.json", CREDENTIAL)
HANDED_DIRECTORY = "/run/ordain/documents"
TRUST_LINE = "trust="
"""The beginning of the line in which `PROGRAM` prints the value of `trust` in agent.yaml."""
_SIGKILL = 9
_ENVIRONMENT = {b"LC_ALL": b"C.UTF-8", b"PATH": b"/usr/sbin:/usr/bin:/sbin:/bin"}
_REASONS_MAX = 1 << 16


def needs_compile(root: str, *, own: bool) -> bool:
    """Return whether to compile documents in this boot.

    Documents that were delivered with the boot take precedence over the baseline of the image; documents on the machine
    (``own``) do not. If PID 1 already answers, the package was just installed, and the agent will start soon: then the
    result is False.
    """
    if _has_listener(root + "/run/systemd/private"):  # first: in a reload, the documents may be on a mount that hangs
        return False
    handed = any(map(_has_content, (root + path for path in HANDED_OVER))) or _has_documents(root + HANDED_DIRECTORY)
    return handed or (own and _has_documents(root + DOCUMENTS))


def run_compiler(root: str, program: str = PROGRAM) -> tuple[str, list[str]]:
    """Run `PROGRAM` to compile the documents. Return as `ask_trust` does; the lines are the reasons of a failure."""
    return _run(program, [root or "/"])


def ask_trust(root: str, program: str = PROGRAM) -> tuple[str, list[str]]:
    """Run `PROGRAM` to read agent.yaml. Return `trust` (``""`` if it is unknown) and the other lines of output."""
    return _run(program, ["--trust", root or "/"])


def _run(program: str, words: list[str]) -> tuple[str, list[str]]:
    """Run a program until it ends, or until the alarm of the caller raises an exception; then kill it."""
    reader, writer = pipe2(O_CLOEXEC)
    actions = [(OPEN, 0, "/dev/null", O_RDONLY, 0), (DUP2, writer, 1), (DUP2, writer, 2)]
    try:
        child = posix_spawn(program, [program, *words], _ENVIRONMENT, file_actions=actions)
    except OSError as error:
        close(reader)
        return "", [f"cannot run {program}: {error.strerror}; the documents wait for the agent"]
    finally:
        close(writer)
    output = b""
    try:
        while len(output) < _REASONS_MAX and (more := read(reader, _REASONS_MAX)):
            output += more
        waitpid(child, 0)
        child = 0
    finally:
        close(reader)
        if child and waitpid(child, WNOHANG) == (0, 0):
            kill(child, _SIGKILL)
            waitpid(child, 0)
    lines = output.decode("utf-8", "replace").splitlines()
    trust = [line.removeprefix(TRUST_LINE) for line in lines if line.startswith(TRUST_LINE)]
    return trust[0] if len(trust) == 1 else "", [line for line in lines if not line.startswith(TRUST_LINE)]


def _has_content(path: str) -> bool:
    try:
        return stat(path).st_size > 0
    except OSError:
        return False


def _has_documents(path: str) -> bool:
    """Return whether a directory contains documents."""
    try:
        return any(name.endswith((".yaml", ".yml", ".json")) and name[0] != "." for name in listdir(path))
    except OSError:
        return False


def _has_listener(path: str) -> bool:
    """Return whether a process listens at a socket; a socket that the systemd of an initrd left does not count."""
    end = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK)
    try:
        end.connect(path)
    except BlockingIOError:
        return True  # it listens, but its queue is full
    except OSError:
        return False
    finally:
        end.close()
    return True
