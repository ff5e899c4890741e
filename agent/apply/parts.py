"""The parts that apply documents to one machine, and how they depend on each other.

                      Engine            UnitHolds           Rollback
                        │ └───────────────┘                    │
                        └────────────── ApplySteps ────────────┘
                             │               │            │
                      ConnectivityGuard   Observer   GeneratorRepair
                             │               │            │
                   Trials, Journal, Decisions, GenerationWriter, Store: files below the root

A program builds them once and passes on to each of its own parts those that it needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ordain.agent.apply.apply_steps import ApplySteps
from ordain.agent.apply.connectivity_guard import ConnectivityGuard
from ordain.agent.apply.engine import Engine
from ordain.agent.apply.generation_writer import GenerationWriter
from ordain.agent.apply.generator_repair import GeneratorRepair
from ordain.agent.apply.hold import UnitHolds
from ordain.agent.apply.observe import Observer
from ordain.agent.apply.rollback import Rollback
from ordain.agent.apply.trial import Trials
from ordain.agent.compile.executor import Executor
from ordain.agent.state.apply_journal import ApplyJournal
from ordain.agent.state.decisions import Decisions
from ordain.agent.state.store import Store
from ordain.agent.system.systemd1 import Systemd


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyParts:
    """The parts for the machine below ``root``, whose PID 1 is ``systemd``."""

    root: Path
    systemd: Systemd
    executor: Executor
    store: Store
    writer: GenerationWriter
    decisions: Decisions
    trials: Trials
    observer: Observer
    repair: GeneratorRepair
    steps: ApplySteps
    engine: Engine
    rollback: Rollback
    holds: UnitHolds


def build_parts(*, systemd: Systemd, executor: Executor, root: Path) -> ApplyParts:
    """Build all parts for the machine below ``root``; documents are compiled by ``executor``."""
    store, decisions, trials, journal = Store(root), Decisions(root), Trials(root), ApplyJournal(root)
    writer = GenerationWriter(store)
    observer = Observer(systemd=systemd, root=root, store=store)
    repair = GeneratorRepair(systemd=systemd, root=root, store=store)
    guard = ConnectivityGuard(systemd=systemd, root=root, store=store, trials=trials)
    steps = ApplySteps(
        systemd=systemd,
        root=root,
        store=store,
        writer=writer,
        decisions=decisions,
        trials=trials,
        journal=journal,
        observer=observer,
        guard=guard,
        repair=repair,
    )
    engine = Engine(
        systemd=systemd,
        executor=executor,
        root=root,
        store=store,
        writer=writer,
        decisions=decisions,
        trials=trials,
        observer=observer,
        guard=guard,
        steps=steps,
    )
    rollback = Rollback(
        systemd=systemd,
        root=root,
        store=store,
        writer=writer,
        decisions=decisions,
        trials=trials,
        journal=journal,
        observer=observer,
        steps=steps,
    )
    return ApplyParts(
        root=root,
        systemd=systemd,
        executor=executor,
        store=store,
        writer=writer,
        decisions=decisions,
        trials=trials,
        observer=observer,
        repair=repair,
        steps=steps,
        engine=engine,
        rollback=rollback,
        holds=UnitHolds(systemd=systemd, root=root, store=store, engine=engine),
    )
