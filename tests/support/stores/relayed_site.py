"""A site behind relays: a store, machines with keys of their own, and what each of them does through a relay."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ordain.agent.delivery.backoff import Backoff
from ordain.agent.delivery.database.database import ANY, Database
from ordain.agent.delivery.database.http_transport import HttpTransport, ServerAccess
from ordain.agent.delivery.database.relayed_store import RelayedStore
from ordain.agent.delivery.fleet.report import PATH, MachineReport, ReportedBoot, encode_report
from ordain.agent.delivery.fleet.report_publisher import ReportPublisher, status_key
from ordain.agent.delivery.fleet.rollout_gate import RolloutGate
from ordain.agent.delivery.identity.machine_key import PrivateKey, generate
from ordain.agent.delivery.identity.machine_record import (
    FLEET_KEY,
    FleetRecord,
    MachineRecord,
    encode_key,
    encode_record,
)
from ordain.agent.delivery.identity.statement import encode_statement
from ordain.agent.delivery.protocol import ReleaseReference
from ordain.agent.delivery.release import signing
from ordain.agent.delivery.release.manifest import Release, ReleaseDraft, read_release
from ordain.agent.delivery.source.database_source import DatabaseSource
from ordain.agent.delivery.source.release_reader import ReleaseReader
from ordain.agent.model import RawDocuments, to_json
from ordain.agent.status import AgentState as Phase
from ordain.transforms.model import Facts
from rig.stores.signing_keys import key_of

FLEET = "0123456789abcdef"
BASE = b"ordain: v1\nkind: Layer\nname: base\n"


async def found_fleet(store: Database, *machines: SiteMachine, **policy: Any) -> None:
    """Write the record of a fleet, and those of its machines."""
    await store.put(FLEET_KEY, encode_record(FleetRecord(fleet=FLEET, **policy)), expect=ANY)
    for machine in machines:
        await store.put(f"machines/{machine.id}", encode_record(machine.record()), expect=ANY)


def release(number: int, **rollout: object) -> Release:
    """Return a signed release without documents."""
    private, signer = key_of(1)
    draft = ReleaseDraft(channel="stable", number=number, documents={}, created="now", rollout=rollout or None)
    unsigned = draft.release()
    return unsigned.signed(signer.id, signing.sign(private, unsigned.canonical))


class SiteMachine:
    """A machine with a key, whose source and reports go through the relays at ``urls``."""

    def __init__(self, root: Path, number: int, urls: Sequence[str] = ()) -> None:
        self.id = f"{number:032x}"
        self.root = root / f"m{number}"
        self.urls = tuple(urls)
        self.key: PrivateKey | None = generate(FLEET)
        self.facts = Facts(id="debian", systemd=257, hostname=f"m{number}", machine_id=self.id)
        self.handed_over: RawDocuments = ()
        self.publisher = ReportPublisher(root=self.root, open=self.connect, key=self.key, sleep=_no_sleep)
        (self.root / PATH).parent.mkdir(parents=True)

    def record(self, **more: Any) -> MachineRecord:
        """Return the record of this machine."""
        assert self.key is not None
        return MachineRecord(machine=self.id, key=encode_key(self.key.public), name=self.facts.hostname, **more)

    def connect(self) -> RelayedStore:
        """Return a client of the relays, as ordain-source has one."""
        sign = self.key.sign if self.key else None
        return RelayedStore(HttpTransport(ServerAccess(endpoints=self.urls)), sign)

    def source(self, database: Database | None = None, *, unsigned: bool = True) -> DatabaseSource:
        """Return the source of this machine."""
        database = database or self.connect()
        gate = RolloutGate(
            root=self.root, machine=self.id, key=self.key, database=database, handed_over=lambda: self.handed_over
        )
        releases = ReleaseReader(database, lambda: self.facts, {}, gate)
        return DatabaseSource(database, lambda: self.facts, {}, releases=releases, unsigned=unsigned)

    async def report(self, number: int = 0, phase: Phase = Phase.CONVERGED, **more: Any) -> bool:
        """Let the agent write its status, and ordain-source report it; return whether that was accepted."""
        self.write_status(number, phase, **more)
        return await self.publisher._attempt(Backoff()) is None

    def write_status(self, number: int = 0, phase: Phase = Phase.CONVERGED, **more: Any) -> None:
        """Let the agent write its status."""
        report = MachineReport(
            machine=self.id,
            hostname=self.facts.hostname,
            phase=phase,
            release=ReleaseReference(channel="stable", number=number),
            boot=ReportedBoot(generated_from="current"),
            **more,
        )
        (self.root / PATH).write_bytes(encode_report(report))

    def signed_report(self, sequence: int, **more: Any) -> bytes:
        """Return a report as the store has it."""
        assert self.key is not None
        told = {"hostname": self.facts.hostname, **more}
        report = MachineReport(machine=self.id, seen=int(time.time()), **told)
        key = status_key(self.id)
        return encode_statement(self.key.sign(key, {**to_json(report), "sequence": sequence}))


async def number_read(source: DatabaseSource) -> int:
    """Return the number of the release that a source hands over."""
    ((path, data),) = (await source.read()).texts
    return read_release(path, data).number


def stored_sequence(data: bytes) -> int:
    """Return the sequence in a report."""
    return int(json.loads(data)["sequence"])


async def _no_sleep(seconds: float) -> None: ...
