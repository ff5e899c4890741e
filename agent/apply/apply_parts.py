"""The parts that apply documents to one machine, and how they depend on each other.

                      Engine            UnitHolds           Rollback
                        │ └───────────────┘                    │
                        └────────────── ApplySteps ────────────┘
                             │               │            │
                      ConnectivityGuard   Observer   GeneratorRepair
                             │               │            │
                   MachineParts: PID 1, and Trials, Journal, Decisions, GenerationWriter, Store: files below the root

A program builds them once and passes on to each of its own parts those that it needs.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from ordain.agent.apply.apply_steps import ApplySteps
from ordain.agent.apply.connectivity_guard import ConnectivityGuard
from ordain.agent.apply.engine import Engine
from ordain.agent.apply.generator_repair import GeneratorRepair
from ordain.agent.apply.hold import UnitHolds
from ordain.agent.apply.machine_parts import MachineParts, machine_parts
from ordain.agent.apply.rollback import Rollback
from ordain.agent.compile.executor import Executor
from ordain.agent.system.systemd.systemd1 import Systemd


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyParts(MachineParts):
    """The parts of a machine, and those that work with them; documents are compiled by ``executor``."""

    executor: Executor
    repair: GeneratorRepair
    steps: ApplySteps
    engine: Engine
    rollback: Rollback
    holds: UnitHolds


def build_parts(*, systemd: Systemd, executor: Executor, root: Path) -> ApplyParts:
    """Build all parts for the machine below ``root``; documents are compiled by ``executor``."""
    machine = machine_parts(systemd, root)
    repair = GeneratorRepair(systemd=systemd, root=root, store=machine.store)
    guard = ConnectivityGuard(systemd=systemd, root=root, store=machine.store, trials=machine.trials)
    steps = ApplySteps(machine, guard=guard, repair=repair)
    engine = Engine(machine, executor=executor, guard=guard, steps=steps)
    return ApplyParts(
        **{field.name: getattr(machine, field.name) for field in fields(machine)},
        executor=executor,
        repair=repair,
        steps=steps,
        engine=engine,
        rollback=Rollback(machine, steps=steps),
        holds=UnitHolds(systemd=systemd, root=root, store=machine.store, engine=engine),
    )
