"""Kills at an exact step of whatever process applies documents (agent, ordainctl, rollback timer), on a booted machine.

    listen(machine) · arm(machine, n, "journal") ─▶ SIGKILL at the n-th step · steps(machine): the steps until then
    listen(machine) · arm(machine, n, power=True) · reached(machine) ─▶ the process is stopped there, for a power cut

A step is an effect on a file of Ordain's state, as Python's audit events report it (sys.addaudithook): before a rename
or a removal, and after a rename, when the directory is about to be synced. The package has no code for this: a .pth
file in the machine makes every Python there listen.
"""

from __future__ import annotations

from rig.machine import Machine

DIST = "/usr/lib/python3/dist-packages"
AT = "/run/ordain/kill-at"
STEPS = "/run/ordain/kill-steps"
STATUS = "/run/ordain/status.json"
"""This file is not a step of an apply: it is written at every change of the status."""
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

def on_event(event, args):
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
    sys.addaudithook(on_event)
"""


def listen(machine: Machine) -> None:
    """Make every Python that starts in ``machine`` from now on obey `arm`."""
    machine.write(f"{DIST}/ordain_kills.py", LISTENER)
    machine.write(f"{DIST}/ordain_kills.pth", "import ordain_kills\n")


def arm(machine: Machine, number: int, word: str = "", *, power: bool = False) -> None:
    """Kill the process at step ``number``, from 1, of the steps whose path contains ``word``; 0 only records steps.

    With ``power``, the process is stopped there instead, for a power cut: see `reached`.
    """
    machine.path(STEPS).unlink(missing_ok=True)
    machine.write(AT, f"{number} {'SIGSTOP' if power else 'SIGKILL'} {word}")


def reached(machine: Machine) -> bool:
    """Return whether the step of `arm` has been reached."""
    return not machine.path(AT).exists()


def disarm(machine: Machine) -> bool:
    """Disarm; return whether the step had not been reached yet."""
    was_armed = machine.path(AT).exists()
    machine.path(AT).unlink(missing_ok=True)
    return was_armed


def steps(machine: Machine) -> list[str]:
    """Return the steps since `arm`; the last one is that of the kill."""
    try:
        return machine.read(STEPS).splitlines()
    except FileNotFoundError:
        return []
