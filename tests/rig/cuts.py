"""Power cuts of a machine that follows its documents: at every step of an apply and of going back, or at any moment.

documents change ─▶ cut ─▶ boot: what is good runs ─▶ the agent gets where it would have got ─▶ cut, boot: still there

python3 -m rig.cuts [--suite trixie] [--seed N] [--cuts 200]
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rig import kills, package, roots
from rig.apply import BUS
from rig.machine import Machine

DOCUMENT = "/etc/ordain/documents/base.yaml"
GOOD = ("web.service", "other.service", "front.socket", "slow.service")
"""Run whatever the documents of this module say, and wherever the power went."""
LONGEST_SEC = 1.5
"""An apply of them is over by then."""
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
"""Fails, so that it is gone back from."""


class Subject:
    """A machine of which ``documents`` are those it was given last, and ``word`` what is to come of them."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.word = ""
        self.state = ""
        self._written = 0

    def start(self) -> None:
        """Boot with `OLD`."""
        kills.listen(self.machine)
        self.write(OLD)
        self.machine.boot()
        self.settle()

    def write(self, services: Services) -> None:
        """Give it other documents: `OLD` and `NEW` work, after `BAD` it is as it was."""
        self._written += 1
        layer = {"ordain": "v1", "kind": "Layer", "name": "base", "services": services}
        self.word = self.word if services is BAD else "1" if services is OLD else "2"
        self.state = "rolled-back" if services is BAD else "converged"
        self.machine.write(DOCUMENT, f"# {self._written}\n{json.dumps(layer)}")

    def settle(self) -> None:
        """Wait until the agent has got where the documents lead, and see that all runs that is to."""
        self.machine.until(f"it is {self.state} with {self.word}", self.settled, timeout=60)
        self._good_run()
        assert self.machine.read("/etc/web.conf") == f"{self.word}\n"
        assert self._shown(f"only{self.word}.service")["ActiveState"] == "active"

    def boot(self) -> None:
        """Boot after a cut: what is good runs, with or without what the documents change; then `settle`."""
        self.machine.boot()
        assert self.machine.show("basic.target", "ActiveState")["ActiveState"] == "active"
        self._good_run()
        self.settle()

    def again(self) -> None:
        """Cut and boot."""
        self.machine.power_cut()
        self.boot()

    def _good_run(self) -> None:
        run = lambda: all(self._shown(unit)["ActiveState"] == "active" for unit in GOOD)  # noqa: E731
        self.machine.until(f"{', '.join(GOOD)} run", run, timeout=30)

    def settled(self) -> bool:
        """Whether the agent has got where the documents lead, as far as it says."""
        answer = self.machine.run("busctl", "--json=short", "call", *BUS, "Status", check=False)
        if answer.returncode or self.machine.path("/run/ordain/journal").exists():
            return False
        told = json.loads(json.loads(answer.stdout)["data"][0])
        words = {self._shown(f"{name}.service")["Environment"] for name in ("web", "slow")}
        return bool(told["state"] == self.state and told["source"]["revision"] and words == {f"WORD={self.word}"})

    def _shown(self, unit: str) -> Mapping[str, str]:
        return self.machine.show(unit, "ActiveState", "Environment")


def at_step(subject: Subject, services: Services, number: int) -> str:
    """From `OLD` to ``services`` with the power cut at step ``number`` from 1; which one that was, "" for none."""
    machine = subject.machine
    subject.write(OLD)
    subject.settle()
    kills.arm(machine, number, power=True)
    subject.write(services)
    machine.until("the step comes", lambda: kills.reached(machine) or subject.settled(), timeout=60)
    if kills.disarm(machine):
        subject.settle()
        return ""
    found = kills.steps(machine)[-1]
    subject.again()
    subject.again()
    return found


def main() -> int:
    """At every step, then at random moments; ends with an error at the first machine that does not come back."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="trixie", choices=roots.SUITES)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--cuts", type=int, default=200, help="at random moments")
    options = parser.parse_args()
    if reason := roots.missing():
        parser.error(reason)
    deb: Path = package.build()
    with Machine(roots.with_package(options.suite, deb)) as machine:
        subject = Subject(machine)
        subject.start()
        for services in (NEW, BAD):
            for number in itertools.count(1):
                if not (step := at_step(subject, services, number)):
                    break
                print(f"cut {step}", flush=True)
        print(f"random cuts, seed {options.seed}", flush=True)
        chance = random.Random(options.seed)
        for number in range(1, options.cuts + 1):
            services, wait_sec = chance.choice((OLD, NEW, BAD)), chance.uniform(0, LONGEST_SEC)
            subject.write(services)
            time.sleep(wait_sec)
            try:
                subject.again()
            except BaseException:
                print(f"cut {number}, {wait_sec:.3f} s after {json.dumps(services)}\n{machine.journal('--lines=200')}")
                raise
            if number % 20 == 0:
                print(f"{number} cuts", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
