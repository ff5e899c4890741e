"""The first boot: documents are there, and no generation was ever made from them on this machine.

    documents ─a program of its own▶ /run/ordain/boot/handed, reasons why not

A machine that boots from RAM is at its first boot every time. The generator itself stays as small as it is: compiling
takes a fifth of a second, is none of its business on any other boot, and may crash or hang without harm over there.
"""

from __future__ import annotations

import _socket
from posix import O_CLOEXEC, O_RDONLY, WNOHANG, close, kill, listdir, pipe2, posix_spawn, read, stat, waitpid
from posix import POSIX_SPAWN_DUP2 as DUP2
from posix import POSIX_SPAWN_OPEN as OPEN

PROGRAM = "/usr/lib/ordain/ordain-first-boot"
SECONDS = 20
"""Most boots need a fifth of one, an emulated machine two."""
DOCUMENTS = "/etc/ordain/documents"
CREDENTIAL = "/run/credentials/@system/ordain.document"
HANDED_OVER = ("/run/ordain/document.json", CREDENTIAL)
HANDED_DIRECTORY = "/run/ordain/documents"
TRUST_LINE = "trust="
"""Begins the line in which `PROGRAM` prints the value of `trust` in agent.yaml."""
_SIGKILL = 9
_ENVIRONMENT = {b"LC_ALL": b"C.UTF-8", b"PATH": b"/usr/sbin:/usr/bin:/sbin:/bin"}
_REASONS_MAX = 1 << 16


def needs_compile(root: str, *, own: bool) -> bool:
    """Whether to compile: what came with the boot goes before the image's baseline, the machine's own documents do not.

    Never once PID 1 answers: then the package was installed just now, and the agent is on its way.
    """
    handed = any(map(_is_there, (root + path for path in HANDED_OVER))) or _names(root + HANDED_DIRECTORY)
    if not handed and not (own and _names(root + DOCUMENTS)):
        return False
    return not _answers(root + "/run/systemd/private")


def run_compiler(root: str, program: str = PROGRAM) -> tuple[str, list[str]]:
    """Run `PROGRAM` to compile the documents. Return as `ask_trust`; the lines say why nothing came of it."""
    return _run(program, [root or "/"])


def ask_trust(root: str, program: str = PROGRAM) -> tuple[str, list[str]]:
    """Run `PROGRAM` to read agent.yaml. Return the value of `trust`, "" if unknown, and the other lines it prints."""
    return _run(program, ["--trust", root or "/"])


def _run(program: str, words: list[str]) -> tuple[str, list[str]]:
    """The caller's alarm ends the program."""
    reader, writer = pipe2(O_CLOEXEC)
    actions = [(OPEN, 0, "/dev/null", O_RDONLY, 0), (DUP2, writer, 1), (DUP2, writer, 2)]
    try:
        child = posix_spawn(program, [program, *words], _ENVIRONMENT, file_actions=actions)
    except OSError as error:
        close(reader)
        return "", [f"{program}: {error.strerror}, the documents wait for the agent"]
    finally:
        close(writer)
    said = b""
    try:
        while len(said) < _REASONS_MAX and (more := read(reader, _REASONS_MAX)):
            said += more
        waitpid(child, 0)
        child = 0
    finally:
        close(reader)
        if child and waitpid(child, WNOHANG) == (0, 0):
            kill(child, _SIGKILL)
            waitpid(child, 0)
    lines = said.decode("utf-8", "replace").splitlines()
    trust = [line.removeprefix(TRUST_LINE) for line in lines if line.startswith(TRUST_LINE)]
    return trust[0] if len(trust) == 1 else "", [line for line in lines if not line.startswith(TRUST_LINE)]


def _is_there(path: str) -> bool:
    try:
        return stat(path).st_size > 0
    except OSError:
        return False


def _names(path: str) -> bool:
    """Whether a directory holds documents."""
    try:
        return any(name.endswith((".yaml", ".yml", ".json")) and name[0] != "." for name in listdir(path))
    except OSError:
        return False


def _answers(path: str) -> bool:
    """Whether somebody listens at a socket; what an initrd's systemd left behind answers no more."""
    end = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK)
    try:
        end.connect(path)
    except BlockingIOError:
        return True  # so busy that its queue is full
    except OSError:
        return False
    finally:
        end.close()
    return True
