"""Long random runs of `random_steps.steps` on two booted machines, one of which is harmed: rules that must always hold.

    steps ─▶ machine (agent killed, power cut) ─settle▶ compare ◀settle─ twin (another Debian, unharmed) ◀─ steps

    python3 -m rig.soak [--suite trixie] [--twin bookworm] [--seed N] [--minutes 10] [--steps N] [--replay FILE]

A failure prints its steps, one JSON object on each line for ``--replay``, and a shorter sequence that still fails.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rig import debian_roots, kill_points, package, random_steps
from rig.machine import CGROUPS, Machine, MachineError
from rig.machine_agent import BUS
from rig.random_steps import Sections, Step

DOCUMENTS = "/etc/ordain/documents/model.yaml"
AGENT = "ordain-agent.service"
CONFIRM_SEC = 2
ENFORCE_SEC = 15.0
"""Longer than the agent takes to restore a unit with ``drift: enforce``."""
OURS = re.compile(r"s\d(@.*)?\.(service|socket|timer)|srv-m\d\.mount")
HANGS = ("requires", "part-of", "wants")
LEFT_ALONE = ("dbus", "cron", "ssh", "nginx", "systemd-journald", "systemd-logind", "systemd-udevd")
SHOWN = ("Id", "LoadState", "ActiveState", "InvocationID", "MainPID")
RUNNING = ("active", "activating", "reloading", "refreshing")
GENERATED = "/run/systemd/generator"
SHRINK_SEC = 600.0
Units = Mapping[str, Mapping[str, str]]


class InvariantBroken(AssertionError):
    """A rule that must always hold is broken."""


class SoakMachine:
    """A machine that goes through the steps; if it is ``spared``, without kills of the agent and power cuts."""

    def __init__(self, machine: Machine, *, spared: bool) -> None:
        self.machine = machine
        self.spared = spared
        self.documents: Sections = {"services": {}}
        self.in_force: Sections = self.documents
        self.revision, self.wrote = "", False
        self.status: dict[str, Any] = {}
        self.units: Units = {}

    def start(self) -> None:
        """Boot without documents."""
        self.machine.write("/usr/bin/serve", random_steps.SERVE, mode=0o755)
        kill_points.listen(self.machine)
        self.machine.boot()
        self._write(self.documents, "start")
        self._settle()

    def step(self, step: Step, number: int) -> None:
        """Do one step; check the rules when the machine has settled."""
        before, boot = self.units, self._boot()
        if step.shell:
            self.machine.run("sh", "-c", step.shell, check=False)
        if step.power == "cut" and not self.spared:
            self.machine.power_cut()
            self.machine.boot()
        elif step.power:
            self.machine.reboot()
        if step.confirm:
            self._on_trial(step, number)
        elif step.documents is not None:
            self._change(step, number)
        self._settle()
        kill_points.disarm(self.machine)
        self._check(step, before if boot == self._boot() else {})
        if step.back and self.status["state"] == "converged" and before:
            self._back(step, before)
        self.in_force = self.documents if self.taken else self.in_force

    @property
    def taken(self) -> bool:
        """Return whether the documents were in force at the last look."""
        return self.status["state"] != "rolled-back" and "Refused" not in self.codes

    @property
    def codes(self) -> set[str]:
        """Return the codes of the conditions at the last look."""
        return {condition["code"] for condition in self.status["conditions"]}

    def _on_trial(self, step: Step, number: int) -> None:
        """Apply the documents with ordainctl as a trial, and end it as the step says; then follow them again."""
        assert step.documents is not None
        self._control("pause")
        self._write(step.documents, str(number))
        self.documents = step.documents
        if step.kill and not self.spared:
            kill_points.arm(self.machine, step.ms)
        self._control("apply", "--confirm", str(CONFIRM_SEC if step.confirm != "confirmed" else 60))
        if step.confirm == "confirmed":
            while self._control("confirm") != 0 and self.machine.path("/run/ordain/trial").exists():
                self._answer()
        elif step.confirm == "cut" and not self.spared:
            self.machine.power_cut()
            self.machine.boot()
        elif step.confirm == "killed" and not self.spared:
            self.machine.run("systemctl", "kill", "--signal=KILL", AGENT)
        ends = ("", ".confirmed", ".expired")
        over = lambda: not any(self.machine.path(f"/run/ordain/trial{end}").exists() for end in ends)  # noqa: E731
        self.machine.until("the trial is over", over, timeout=60)
        if step.confirm == "cut" and self.spared:
            self._answer()
            self.machine.reboot()
        self._answer()
        self._control("resume")

    def _answer(self) -> None:
        """Wait until an agent answers and no apply is running."""
        self.machine.until("an agent answers", lambda: self._ask() and not self._busy(), timeout=60)

    def _control(self, *words: str) -> int:
        answer = self.machine.run("ordainctl", *words, check=False)
        if "Traceback" in answer.stdout + answer.stderr:
            raise InvariantBroken(f"ordainctl {' '.join(words)}: {answer.stderr}")
        return answer.returncode

    def _back(self, step: Step, before: Units) -> None:
        """Roll back; require that the units run that ran before the step; then follow the documents again."""
        old, new = self.in_force["services"], self.documents["services"]
        if {**self.in_force, "mounts": {}} == {**self.documents, "mounts": {}}:
            return
        if step.kill == "after" and not self.spared:
            killer = threading.Thread(target=self._kill, args=(step, self._agents()))
            killer.start()
            self._control("rollback")
            killer.join()
        else:
            self._control("rollback")
        self._settle()
        enforced = {name for name, body in old.items() if body.get("drift") == "enforce"}
        starters = {
            u for name, body in old.items() if name not in enforced for u in random_steps.starting_units(name, body)
        }
        ran, runs = (
            {unit for unit in starters if units.get(unit, {}).get("ActiveState") == "active"}
            for units in (before, self.units)
        )
        changed = {name for name in old if old.get(name) != new.get(name)}
        more = {unit for unit in runs - ran if re.split(r"[@.]", unit)[0] not in changed}
        if ran - runs or more:
            raise InvariantBroken(f"after a rollback, {sorted(ran - runs)} no longer run, and {sorted(more)} do")
        self._control("follow")
        self._settle()

    def _change(self, step: Step, number: int) -> None:
        assert step.documents is not None
        if step.kill == "step" and not self.spared:
            kill_points.arm(self.machine, step.ms)
        if self.spared or step.kill in ("", "power", "step"):
            self._write(step.documents, str(number))
        else:
            killer = threading.Thread(target=self._kill, args=(step, self._agents()))
            killer.start()
            self._write(step.documents, str(number))
            killer.join()
        self.documents = step.documents
        if step.kill == "power":
            if self.spared:
                self._settle()
                self.machine.reboot()
            else:
                time.sleep(step.ms / 1000)
                self.machine.power_cut()
                self.machine.boot()

    def _write(self, documents: Sections, note: str) -> None:
        text = json.dumps({"ordain": "v1", "kind": "Layer", "name": "model", **documents}, indent=1)
        self.machine.write(DOCUMENTS, f"# {note}\n{text}\n")
        self.wrote = True

    def _kill(self, step: Step, agents: Sequence[int]) -> None:
        """Kill the agent at the phase or time that the step names, unless that does not come."""
        if step.kill == "after":
            time.sleep(step.ms / 1000)
        elif not self._comes(f'"phase": "{step.kill}"'):
            return
        for pid in agents:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _comes(self, word: str) -> bool:
        """Return whether the journal of an apply contains ``word`` before the apply ends, or within some seconds."""
        path, began = self.machine.path("/run/ordain/journal"), False
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                began, text = True, path.read_text()
            except FileNotFoundError:
                if began:
                    return False
                continue
            if word in text:
                return True
            time.sleep(0.0005)
        return False

    def _agents(self) -> list[int]:
        """Return the host's process ids of the agent."""
        tops = (CGROUPS / self.machine.name, *CGROUPS.glob(f"*/{self.machine.name}"))
        groups = [group for top in tops for group in top.glob(f"*/system.slice/{AGENT}/cgroup.procs")]
        return sorted({int(pid) for group in groups for pid in group.read_text().split()})

    def _boot(self) -> str:
        return self.machine.read("/proc/sys/kernel/random/boot_id")

    def _settle(self) -> None:
        """Wait until the agent has nothing left to do."""

        def settled() -> bool:
            if not self._ask():
                return False
            revision = self.status["source"]["revision"]
            read = revision and (revision != self.revision or not self.wrote)
            return bool(read and not self._busy())

        time.sleep(0.7)  # the agent looks at units up to half a second after they change
        self.machine.until("the agent has settled", settled, timeout=60)
        self.revision, self.wrote = self.status["source"]["revision"], False
        self.units = self._look()

    def _ask(self) -> bool:
        answer = self.machine.run("busctl", "--json=short", "call", *BUS, "Status", check=False)
        if answer.returncode == 0:
            self.status = json.loads(json.loads(answer.stdout)["data"][0])
        return answer.returncode == 0

    def _busy(self) -> bool:
        return self.status["state"] in ("starting", "applying") or self.machine.path("/run/ordain/journal").exists()

    def _look(self) -> Units:
        kinds = ("*.service", "*.socket", "*.timer", "*.mount")
        text = self.machine.run("systemctl", "show", "--all", f"--property={','.join(SHOWN)}", *kinds).stdout
        blocks = (dict(line.split("=", 1) for line in block.splitlines()) for block in text.strip().split("\n\n"))
        return {block["Id"]: block for block in blocks}

    def _check(self, step: Step, before: Units) -> None:
        """Check the rules for one machine."""
        told = {unit["unit"]: unit for unit in self._told()["units"]}
        if self.codes & {"Internal", "NotPlaced", "NotPersistent", "NotInHistory"}:
            raise InvariantBroken(f"conditions: {self.status['conditions']}")
        self._check_unchanged(step, before)
        if not self.taken:
            return
        self._check_wanted(told)
        self._check_gone(told)
        self._check_empty()

    def _told(self) -> dict[str, Any]:
        answer = self.machine.run("ordainctl", "status", "--json", check=False)
        if answer.returncode not in (0, 3):
            raise InvariantBroken(f"ordainctl status: exit status {answer.returncode}\n{answer.stderr}")
        found: dict[str, Any] = json.loads(answer.stdout)
        return found

    def _check_empty(self) -> None:
        enforced = any(body.get("drift") == "enforce" for body in self.documents["services"].values())
        deadline = time.monotonic() + (ENFORCE_SEC if enforced else 0)
        while what := self._planned():
            if time.monotonic() > deadline:
                raise InvariantBroken(f"a second apply would {what}")
            time.sleep(0.5)
        self.units = self._look()

    def _planned(self) -> list[str]:
        answer = self.machine.run("ordainctl", "plan", "--json", check=False)
        if answer.returncode not in (0, 2, 3):
            raise InvariantBroken(f"ordainctl plan: exit status {answer.returncode}\n{answer.stderr}")
        plan = json.loads(answer.stdout)
        jobs = (*plan["stops"], *plan["jobs"])
        return [f"{job['verb']} {job['unit']}: {job['reason']}" for job in jobs] + ["reload"] * plan["reload"]

    def _check_wanted(self, told: Units) -> None:
        for name, body in self.documents["services"].items():
            if body.get("state", "running") != "running":
                continue
            for unit in random_steps.starting_units(name, body):
                if self.units.get(unit, {}).get("ActiveState") in RUNNING or told.get(unit, {}).get("what"):
                    continue
                done = unit in told and told[unit]["ok"] and body.get("type") == "oneshot"
                if not done:
                    raise InvariantBroken(f"{unit} does not run, and no reason is reported: {told.get(unit)}")

    def _check_gone(self, told: Units) -> None:
        for unit, state in self.units.items():
            name = re.split(r"[@.]", unit)[0]
            if not OURS.fullmatch(unit) or name in self.documents["services"] or state["ActiveState"] not in RUNNING:
                continue
            if told.get(unit, {}).get("why") == "held":
                continue
            if unit.endswith(".mount") and f"/srv/{name.removeprefix('srv-')}" in self.documents.get("mounts", {}):
                continue
            raise InvariantBroken(f"{unit} is not in a document, and is {state['ActiveState']}")

    def _check_unchanged(self, step: Step, before: Units) -> None:
        """Require that a unit is the same process as before if nothing has changed it or its dependencies."""
        old, now = self.in_force["services"], self.documents["services"]
        moved = {name for name in now.keys() | old.keys() if now.get(name) != old.get(name)}
        moved |= {name for name in now if f" {name}" in step.shell}
        moved |= {name for name, body in now.items() if body.get("drift") == "enforce"}
        needs = {name: {n for key in HANGS for n in body.get(key, ())} for name, body in now.items()}
        for _ in now:
            moved |= {name for name, others in needs.items() if moved & others}
            moved |= {other for name in moved if step.shell for other in needs.get(name, ())}
        for unit, was in before.items():
            name = re.split(r"[@.]", unit)[0]
            ours = OURS.fullmatch(unit) and name in now and name not in moved
            if not (ours or name in LEFT_ALONE) or was["ActiveState"] != "active":
                continue
            same = [
                self.units.get(unit, {}).get(key) == was.get(key) for key in ("ActiveState", "InvocationID", "MainPID")
            ]
            if not all(same):
                raise InvariantBroken(f"{unit} was not changed, but was {dict(was)} and is {self.units.get(unit)}")

    def end(self) -> dict[str, object]:
        """Return the values that must be the same on two machines with one history."""
        generated = self.machine.path(GENERATED)
        files = {
            str(path.relative_to(generated)): str(path.readlink()) if path.is_symlink() else path.read_text()
            for path in sorted(generated.rglob("*"))
            if not path.is_dir() and OURS.match(path.name)
        }
        states = {unit: (s["LoadState"], s["ActiveState"]) for unit, s in self.units.items() if OURS.fullmatch(unit)}
        inert = ("not-found", "inactive")
        return {
            **{unit: state for unit, state in states.items() if state != inert},
            **files,
            "hash": self.status["hash"],
            "state": self.status["state"],
        }


def run(suite: str, deb: Path, steps: Iterable[Step], *, twin: str = "", until: float = float("inf")) -> Iterator[Step]:
    """Do ``steps`` on new machines of ``suite`` and ``twin`` until ``until``; yield each step before it is done.

    Raises `InvariantBroken`.
    """
    layers, others = (debian_roots.with_package(name, deb) for name in (suite, twin or suite))
    with Machine(layers) as machine, Machine(others) as other, ThreadPoolExecutor(2) as pool:
        pair = (SoakMachine(machine, spared=False), SoakMachine(other, spared=True))
        list(pool.map(SoakMachine.start, pair))
        for number, step in enumerate(steps):
            if time.monotonic() > until:
                return
            yield step
            try:
                list(pool.map(lambda subject, s=step, n=number: subject.step(s, n), pair))
                harmed, spared = (subject.end() for subject in pair)
                apart = [key for key in harmed.keys() | spared.keys() if harmed.get(key) != spared.get(key)]
                if apart:
                    raise InvariantBroken(
                        "\n".join(f"{key}: {harmed.get(key)!r}, unharmed {spared.get(key)!r}" for key in apart)
                    )
            except (InvariantBroken, MachineError) as error:
                journals = [f"--- {s.machine.name}\n{s.machine.journal(f'--unit={AGENT}', '--lines=60')}" for s in pair]
                raise InvariantBroken("\n".join([str(error), *journals])) from error


def first_failure(suite: str, twin: str, deb: Path, steps: Sequence[Step]) -> str:
    """Return the message of the first failure in these steps, or ""."""
    try:
        for _ in run(suite, deb, steps, twin=twin):
            pass
    except InvariantBroken as error:
        return str(error)
    return ""


def shrink(suite: str, twin: str, deb: Path, steps: Sequence[Step]) -> Sequence[Step]:
    """Return a shorter part of ``steps`` that still fails, as short as time allows."""
    deadline = time.monotonic() + SHRINK_SEC
    for length in (1, 2, 4, 8, 16):
        if length >= len(steps) or time.monotonic() > deadline:
            break
        if first_failure(suite, twin, deb, steps[-length:]):
            steps = steps[-length:]
            break
    at = len(steps) - 2
    while at >= 0 and time.monotonic() < deadline:
        shorter = [*steps[:at], *steps[at + 1 :]]
        if first_failure(suite, twin, deb, shorter):
            steps = shorter
        at -= 1
    return steps


def show(steps: Iterable[Step]) -> str:
    """Return the steps as one JSON object on each line."""
    return "\n".join(json.dumps({k: v for k, v in dataclasses.asdict(step).items() if v}) for step in steps)


def main() -> int:
    """Run one seed after the other until the time is over; return 1 after a failure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="trixie", choices=debian_roots.SUITES)
    parser.add_argument(
        "--twin", choices=debian_roots.SUITES, help="the Debian of the unharmed machine (default: the same)"
    )
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--steps", type=int, default=40, help="the number of steps for one seed, on new machines")
    parser.add_argument("--replay", type=Path, help="a file with steps to do instead")
    options = parser.parse_args()
    if reason := debian_roots.missing_tools():
        parser.error(reason)
    deb = package.build()
    if options.replay:
        broken = first_failure(
            options.suite, options.twin, deb, [Step(**json.loads(x)) for x in options.replay.read_text().splitlines()]
        )
        print(broken or "no rule was broken")
        return int(bool(broken))
    until = time.monotonic() + 60 * options.minutes
    for seed in itertools.count(options.seed):
        done: list[Step] = []
        try:
            steps = itertools.islice(random_steps.steps(seed), options.steps)
            for step in run(options.suite, deb, steps, twin=options.twin, until=until):
                done.append(step)
        except InvariantBroken as error:
            print(f"{options.suite}, seed {seed}, step {len(done)}: {error}", flush=True)
            print(f"--- steps\n{show(done)}", flush=True)
            few = shrink(options.suite, options.twin, deb, done)
            print(f"--- a shorter sequence that fails\n{show(few)}")
            return 1
        print(f"{options.suite}, seed {seed}: {len(done)} steps", flush=True)
        if time.monotonic() > until:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
