"""A backup that is restored brings no revoked machine, no earlier key and no used token back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ordain.agent.delivery.identity.identities import Identities
from ordain.agent.delivery.identity.machine_key import generate
from ordain.agent.delivery.identity.machine_record import (
    FLEET_KEY,
    RECOVERY,
    TOKENS,
    FleetRecord,
    MachineRecord,
    RecoveryRecord,
    TokenRecord,
    encode_key,
    encode_record,
)
from ordain.agent.delivery.identity.restored_records import restorable_records

KEY = encode_key(generate("f" * 16).public)
ID = "a" * 32
RECORD = MachineRecord(machine=ID, key=KEY, name="web3", enrolled=100)
PLACE = f"machines/{ID}"


def known(record: MachineRecord) -> Identities:
    return Identities(fleet=FleetRecord(fleet="f" * 16), machines={ID: record})


@pytest.mark.parametrize(
    ("present", "reason"),
    [
        (replace(RECORD, revoked="stolen", revoked_at=200), "web3 was revoked after the backup; its record stays"),
        (replace(RECORD, enrolled=200), "web3 was enrolled again after the backup; its record stays"),
        (RECORD, None),
        (replace(RECORD, enrolled=50), None),
    ],
)
def test_a_record_that_was_changed_after_the_backup_stays(present: MachineRecord, reason: str | None) -> None:
    records = restorable_records({PLACE: encode_record(RECORD), "releases/x": b"1"}, known(present))

    assert records.left_out.get(PLACE) == reason
    assert (PLACE in records.entries) == (reason is None)
    assert records.entries["releases/x"] == b"1"
    assert records.machines == ()


def test_machines_that_the_store_does_not_know_are_named_since_they_may_have_been_revoked() -> None:
    revoked = replace(RECORD, machine="b" * 32, name="web4", revoked="old", revoked_at=1)
    entries = {PLACE: encode_record(RECORD), f"machines/{'b' * 32}": encode_record(revoked)}
    records = restorable_records(entries, Identities())
    assert records.machines == ("web3",)
    assert records.entries == entries


def test_a_token_that_was_not_used_when_the_backup_was_made_is_not_restored() -> None:
    fresh = TokenRecord(key=KEY, expires=2**40, name="web5")
    used = replace(fresh, used=ID, used_key=KEY)
    entries = {f"{TOKENS}1": encode_record(fresh), f"{TOKENS}2": encode_record(used)}
    records = restorable_records(entries, Identities())
    assert list(records.entries) == [f"{TOKENS}2"]
    assert "may have been used after the backup" in records.left_out[f"{TOKENS}1"]


def test_a_recovery_key_that_was_revoked_after_the_backup_stays_revoked() -> None:
    recovery = RecoveryRecord(key=KEY)
    entries = {f"{RECOVERY}1": encode_record(recovery), FLEET_KEY: b"damaged", f"{TOKENS}3": b"damaged"}
    now = Identities(recovery={"1": replace(recovery, revoked="lost")})
    assert set(restorable_records(entries, now).entries) == {FLEET_KEY, f"{TOKENS}3"}
    assert set(restorable_records(entries, Identities()).entries) == set(entries)
