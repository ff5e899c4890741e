"""Power cuts of a machine that follows its documents: at every step of an apply and of a rollback, or at any moment.

documents change ─▶ cut ─▶ boot: the good services run ─▶ the agent finishes as without the cut ─▶ cut and boot again

python3 -m rig.power_cuts [--suite trixie] [--seed N] [--cuts 200] [--random]

Random cuts wait for one of `MOMENTS`, and up to 0.1 s more; in a quarter of them, the next boot is cut as well.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rig import debian_roots, kill_points, package
from rig.machine import Machine
from rig.machine_agent import BUS

DOCUMENT = "/etc/ordain/documents/base.yaml"
GOOD = ("web.service", "other.service", "front.socket", "slow.service")
"""Units that must run after every boot, whatever the documents of this module are and whenever the power was cut."""
MOMENTS = ("arrives", "compile", "commit", "stop", "reload", "apply", "verify", "prove", "rollback", "settled")
"""The phases between a change of the documents and its end, in order; see `CutMachine.moment`."""
STEPS_OF = {"commit": "/var/lib/ordain/generations/", "prove": "/etc/ordain/boot/"}
"""Moments that are too short to wait for: the process is stopped at a step that writes below these paths."""
SHORT = ("stop", "apply")
LINGER_SEC = 0.1
BOOT_SEC = 1.5
"""A boot ends within this time."""
Services = Mapping[str, Mapping[str, Any]]


def _services(word: str, **more: Any) -> Services:
    sleeps = {"command": ["/usr/bin/sleep", "infinity"]}
    return {
        "web": {**sleeps, "environment": {"WORD": word}, "files": {"/etc/web.conf": {"content": f"{word}\n"}}},
        "other": sleeps,
        "front": {**sleeps, "listen": {"stream": f"127.0.0.1:800{word}"}},
        "slow": {**sleeps, "after": ["web"], "environment": {"WORD": word}},
        f"only{word}": sleeps,
        **more,
    }


OLD = _services("1")
NEW = _services("2")
BAD = _services("3", bad={"command": ["/usr/bin/false"]})
"""Documents that fail, so that they are rolled back."""


class CutMachine:
    """A machine; ``word`` and ``state`` are the result that its last documents must have."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.word = ""
        self.state = ""
        self._written = 0
        self._saved, self._ran, self._last_end = 0, "", 0

    def start(self) -> None:
        """Boot with `OLD`."""
        kill_points.listen(self.machine)
        self.write(OLD)
        self.machine.boot()
        self.settle()

    def write(self, services: Services) -> None:
        """Write other documents: `OLD` and `NEW` work, and `BAD` must change nothing."""
        self._written += 1
        self._saved, self._ran, self._last_end = self._newest(), self._runs(), self._ended()
        layer = {"ordain": "v1", "kind": "Layer", "name": "base", "services": services}
        self.word = self.word if services is BAD else "1" if services is OLD else "2"
        self.state = "rolled-back" if services is BAD else "converged"
        self.machine.write(DOCUMENT, f"# {self._written}\n{json.dumps(layer)}")

    def settle(self) -> None:
        """Wait until the agent has reached the result of the documents; require that all wanted services run."""
        self.machine.until(f"it is {self.state} with {self.word}", self.settled, timeout=60)
        self._good_run()
        assert self.machine.read("/etc/web.conf") == f"{self.word}\n"
        assert self._shown(f"only{self.word}.service")["ActiveState"] == "active"

    def boot(self) -> None:
        """Boot after a cut; require that the `GOOD` services run, with the old or the new documents; then `settle`."""
        self.machine.boot()
        assert self.machine.show("basic.target", "ActiveState")["ActiveState"] == "active"
        self._good_run()
        self.settle()

    def again(self) -> None:
        """Cut and boot."""
        self.machine.power_cut()
        self.boot()

    def moment(self) -> str:
        """Return the current one of `MOMENTS`. It is read from files, because PID 1 and the agent are busy."""
        try:
            entry = json.loads(self.machine.read("/run/ordain/journal"))
        except FileNotFoundError:
            if self._newest() > self._saved:
                return "settled" if self._ended() != self._last_end else "commit"
            document = self.machine.path(DOCUMENT).stat()
            return "compile" if document.st_atime_ns > document.st_mtime_ns else "arrives"
        if entry["failed"] or entry["phase"] == "back":
            return "rollback"
        if entry["phase"] == "act":
            return "verify" if self._runs() != self._ran else "apply"
        return "reload" if entry["phase"] == "place" else str(entry["phase"])

    def _ended(self) -> int:
        """Return the time at which the last apply of this boot ended."""
        outcome = self.machine.path("/run/ordain/outcome.json")
        return outcome.stat().st_mtime_ns if outcome.exists() else 0

    def _newest(self) -> int:
        """Return the last number of the history."""
        folder = self.machine.path("/var/lib/ordain/generations")
        return max((int(each.name) for each in folder.glob("[0-9]*")), default=0)

    def _runs(self) -> str:
        """Return the invocation id of the service that an apply starts last."""
        link = self.machine.path("/run/systemd/units/invocation:slow.service")
        return str(link.readlink()) if link.is_symlink() else ""

    def _good_run(self) -> None:
        run = lambda: all(self._shown(unit)["ActiveState"] == "active" for unit in GOOD)  # noqa: E731
        self.machine.until(f"{', '.join(GOOD)} run", run, timeout=30)

    def settled(self) -> bool:
        """Return whether the agent reports the result of the documents."""
        answer = self.machine.run("busctl", "--json=short", "call", *BUS, "Status", check=False)
        if answer.returncode or self.machine.path("/run/ordain/journal").exists():
            return False
        status = json.loads(json.loads(answer.stdout)["data"][0])
        words = {self._shown(f"{name}.service")["Environment"] for name in ("web", "slow")}
        return bool(status["state"] == self.state and status["source"]["revision"] and words == {f"WORD={self.word}"})

    def _shown(self, unit: str) -> Mapping[str, str]:
        return self.machine.show(unit, "ActiveState", "Environment")


def cut_at_step(subject: CutMachine, services: Services, number: int) -> str:
    """Change from `OLD` to ``services`` with a power cut at step ``number``, from 1; return that step, "" for none."""
    machine = subject.machine
    subject.write(OLD)
    subject.settle()
    kill_points.arm(machine, number, power=True)
    subject.write(services)
    machine.until("the step comes", lambda: kill_points.reached(machine) or subject.settled(), timeout=60)
    if kill_points.disarm(machine):
        subject.settle()
        return ""
    found = kill_points.steps(machine)[-1]
    subject.again()
    subject.again()
    return found


def cut_at_moment(subject: CutMachine, chance: random.Random, wanted: str) -> str:
    """Change the documents, with a power cut at the ``wanted`` moment or shortly after; return the moment of the cut.

    The wanted moment may be too short to be seen, or not come; then the cut is at another one.
    """
    machine = subject.machine
    other = OLD if subject.word == "2" else NEW
    bad = subject.state == "converged" and (
        wanted == "rollback" or chance.random() < 0.3
    )  # a rejected generation is not tried again at once
    target = MOMENTS.index("settled" if wanted in STEPS_OF else wanted)
    if wanted in STEPS_OF:
        kill_points.arm(machine, chance.randint(1, 2), STEPS_OF[wanted], power=True)
    subject.write(BAD if bad else other)
    deadline = time.monotonic() + 30
    while MOMENTS.index(subject.moment()) < target and not (wanted in STEPS_OF and kill_points.reached(machine)):
        if time.monotonic() > deadline:
            raise AssertionError(f"no {wanted} within 30 s")
        time.sleep(0.001)
    time.sleep(0 if wanted in SHORT else chance.uniform(0, LINGER_SEC))
    moment = wanted if wanted in STEPS_OF and kill_points.reached(machine) else subject.moment()
    machine.power_cut()
    if chance.random() < 0.25:
        machine.boot(wait=False)
        time.sleep(chance.uniform(0, BOOT_SEC))
        machine.power_cut()
        moment = f"{moment}, and the boot after it"
    subject.boot()
    return moment


def _steps(subject: CutMachine) -> None:
    """Cut the power at each step of an apply, and of one that is rolled back."""
    for services, name in ((NEW, "apply"), (BAD, "rollback")):
        for number in itertools.count(1):
            if not (step := cut_at_step(subject, services, number)):
                break
            print(f"{_clock()} {name}, step {number}: {step}", flush=True)


def _at_random(subject: CutMachine, seed: int, cuts: int) -> None:
    """Cut the power ``cuts`` times; print a table of the moments."""
    chance = random.Random(seed)
    seen: Counter[str] = Counter()
    for number in range(1, cuts + 1):
        wanted = MOMENTS[number % len(MOMENTS)]
        try:
            moment = cut_at_moment(subject, chance, wanted)
        except BaseException:
            print(f"{_clock()} seed {seed}, cut {number} ({wanted})\n{subject.machine.journal('--lines=300')}")
            raise
        seen.update(moment.split(", "))
        if number % 10 == 0:
            print(f"{_clock()} {number} of {cuts} cuts", flush=True)
    for moment in (*MOMENTS, "and the boot after it"):
        print(f"{seen[moment]:6} {moment}")
    if missed := [moment for moment in MOMENTS if not seen[moment]]:
        print(f"moments without a cut: {', '.join(missed)}")


def _clock() -> str:
    return time.strftime("%H:%M:%S")


def main() -> int:
    """Cut the power at every step, then at random moments; fail at the first machine that does not recover."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="trixie", choices=debian_roots.SUITES)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--cuts", type=int, default=200, help="the number of cuts at random moments")
    parser.add_argument("--random", action="store_true", help="make only random cuts")
    options = parser.parse_args()
    if reason := debian_roots.missing_tools():
        parser.error(reason)
    deb: Path = package.build()
    with Machine(debian_roots.with_package(options.suite, deb)) as machine:
        subject = CutMachine(machine)
        subject.start()
        if not options.random:
            _steps(subject)
        print(f"{_clock()} {options.suite}: {options.cuts} random cuts, seed {options.seed}", flush=True)
        _at_random(subject, options.seed, options.cuts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
