"""Kills of whoever applies documents (the agent, ordainctl, a dead-man) at an exact step, on a booted machine.

    listen(machine) · arm(machine, n, "journal") ─▶ SIGKILL at the n-th step · steps(machine): those there were
    listen(machine) · arm(machine, n, power=True) · reached(machine) ─▶ it stands still there, for a power cut

A step is an effect on a file of Ordain's state, as Python's own audit events tell of it (sys.addaudithook): before a
rename or a removal, and after a rename, when the folder is about to be synced. The package knows nothing of this: a
.pth file in the machine makes every Python there listen.
"""

from __future__ import annotations

from rig.machine import Machine

DIST = "/usr/lib/python3/dist-packages"
AT = "/run/ordain/kill-at"
STEPS = "/run/ordain/kill-steps"
STATUS = "/run/ordain/status.json"
"""No step of an apply: it is written whenever there is something new to say."""
LISTENER = f"""\
import os, signal, sys
STATE = ("/run/ordain/", "/etc/ordain/", "/var/lib/ordain/")
WHO = ("ordain-agent", "ordainctl", "ordain.agent.apply.deadman")
renamed, busy = "", False

def step(event, args):
    global renamed
    if event == "os.rename":
        renamed = os.fspath(args[1])
        return f"before {{renamed}}"
    if event == "os.remove":
        return f"remove {{os.fspath(args[0])}}"
    if event == "open" and renamed and args[1] is None and args[2] & os.O_DIRECTORY:
        if os.fspath(args[0]) == os.path.dirname(renamed):
            path, renamed = renamed, ""
            return f"after {{path}}"
    return ""

def hear(event, args):
    global busy
    if busy or event not in ("os.rename", "os.remove", "open"):
        return
    busy = True
    try:
        found = step(event, args)
        _, _, path = found.partition(" ")
        if not path.startswith(STATE) or path in ("{AT}", "{STATUS}") or os.path.basename(path)[:1] == ".":
            return
        try:
            with open("{AT}") as file:
                number, how, word = file.read().split(" ")
        except FileNotFoundError:
            return
        if word not in path:
            return
        with open("{STEPS}", "a+") as log:
            log.write(found + "\\n")
            log.flush()
            log.seek(0)
            count = len(log.readlines())
        if count == int(number):
            os.remove("{AT}")
            os.kill(os.getpid(), getattr(signal, how))
    finally:
        busy = False

if any(word.endswith(WHO) for word in sys.orig_argv):
    sys.addaudithook(hear)
"""


def listen(machine: Machine) -> None:
    """Have every Python that starts in ``machine`` from now on hear of `arm`."""
    machine.write(f"{DIST}/ordain_kills.py", LISTENER)
    machine.write(f"{DIST}/ordain_kills.pth", "import ordain_kills\n")


def arm(machine: Machine, number: int, word: str = "", *, power: bool = False) -> None:
    """SIGKILL at step ``number`` from 1, of those whose path holds ``word``; 0: only write the steps down.

    With ``power``, it stands still there for a power cut: see `reached`.
    """
    machine.path(STEPS).unlink(missing_ok=True)
    machine.write(AT, f"{number} {'SIGSTOP' if power else 'SIGKILL'} {word}")


def reached(machine: Machine) -> bool:
    """Whether the step of `arm` has come."""
    return not machine.path(AT).exists()


def disarm(machine: Machine) -> bool:
    """Arm no more; whether a kill was still to come."""
    there = machine.path(AT).exists()
    machine.path(AT).unlink(missing_ok=True)
    return there


def steps(machine: Machine) -> list[str]:
    """The steps since `arm`, the last one that of the kill."""
    try:
        return machine.read(STEPS).splitlines()
    except FileNotFoundError:
        return []
