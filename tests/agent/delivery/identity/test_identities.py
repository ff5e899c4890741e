"""Signed statements: of one key, for one place, in order; and the key of a machine as a line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from ordain.agent.delivery.backoff import Backoff
from ordain.agent.delivery.database.database import ANY, StoredEntry
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.fleet import report_publisher
from ordain.agent.delivery.fleet.report import PATH, MachineReport, decode_report, encode_report
from ordain.agent.delivery.fleet.report_publisher import ReportPublisher, status_key
from ordain.agent.delivery.fleet.reports import ReportMemory, read_reports
from ordain.agent.delivery.identity import enrollment, key_file, machine_record
from ordain.agent.delivery.identity.identities import Identities, parse_identities
from ordain.agent.delivery.identity.machine_key import (
    PrivateKey,
    generate,
    machine_key_line,
    parse_machine_key,
    parse_token,
    token_line,
)
from ordain.agent.delivery.identity.machine_record import (
    FLEET_KEY,
    RECOVERY,
    TOKENS,
    EnrollmentRequest,
    FleetRecord,
    MachineRecord,
    RecoveryRecord,
    TokenRecord,
    decode_record,
    encode_key,
    encode_record,
)
from ordain.agent.delivery.identity.recipients import recipient_keys
from ordain.agent.delivery.identity.statement import Place, encode_statement, read_statement, signed_bytes, signers_of
from ordain.agent.delivery.release.signing import valid_signers
from ordain.agent.errors import Failure
from ordain.agent.model import to_json

MACHINE, FLEET = "a" * 32, "f" * 16
KEY, OTHER = generate(FLEET), generate(FLEET)


def known(key: PrivateKey = KEY, **more: object) -> Identities:
    """Return the identities of a fleet with one machine."""
    record = MachineRecord(machine=MACHINE, key=encode_key(key.public), name="web3", **more)  # type: ignore[arg-type]
    records = {FLEET_KEY: FleetRecord(fleet=FLEET), f"machines/{MACHINE}": record}
    return parse_identities(tuple(StoredEntry(key=k, data=encode_record(r), version="1") for k, r in records.items()))  # type: ignore[arg-type]


def report(key: PrivateKey | None, place: str = status_key(MACHINE), **more: object) -> StoredEntry:
    """Return a report, signed by ``key`` for ``place``, at the place of the machine."""
    data: dict[str, object] = {"machine": MACHINE, **more}
    signed = key.sign(place, data) if key else data
    return StoredEntry(key=status_key(MACHINE), data=json.dumps(signed).encode(), version="1")


def test_a_record_in_conflict_admits_nothing_until_it_is_settled() -> None:
    """One of two sites may have revoked the machine, and CouchDB shows the record of the other one."""
    entry = report(KEY)
    conflicts = {f"machines/{MACHINE}": "it has 2 versions in conflict"}
    in_conflict = replace(known(), conflicts=conflicts)

    refusal = in_conflict.refusal(MACHINE, entry.key, read_statement(entry.data), valid_signers)

    assert refusal
    assert refusal.code == "IdentityDamaged"
    assert "changed on two servers" in str(refusal)
    assert "fleet revoke" in refusal.remedy
    revoked = replace(known(revoked="stolen"), conflicts=conflicts)
    refusal = revoked.refusal(MACHINE, entry.key, read_statement(entry.data), valid_signers)
    assert refusal
    assert refusal.code == "IdentityRevoked"


async def test_the_key_of_a_machine_is_decoded_once_for_its_record_and_once_for_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []

    def counted(text: str) -> bytes:
        decoded.append(text)
        return decode_key(text)

    decode_key = machine_record.decode_key
    monkeypatch.setattr(machine_record, "decode_key", counted)
    store = DirectoryDatabase(tmp_path)
    record = MachineRecord(machine=MACHINE, key=encode_key(KEY.public), name="web3")
    await store.put(FLEET_KEY, encode_record(FleetRecord(fleet=FLEET)), expect=ANY)
    await store.put(f"machines/{MACHINE}", encode_record(record), expect=ANY)
    own = replace(MachineReport(machine=MACHINE, hostname="web3"), seen=1)
    place = status_key(MACHINE)
    await store.put(place, encode_statement(KEY.sign(place, to_json(own))), expect=ANY)

    assert not (await read_reports(store)).refused

    assert decoded == [record.key] * 2


def changed(entry: StoredEntry, change: Callable[[dict[str, object]], object]) -> StoredEntry:
    data = json.loads(entry.data)
    change(data)
    return StoredEntry(key=entry.key, data=json.dumps(data, indent=3).encode(), version="2")


@pytest.mark.parametrize(
    ("entry", "identities", "code"),
    [
        (report(KEY), known(), ""),
        (report(KEY, units={"ä\ud800": 1.5}), known(), ""),
        (changed(report(KEY), lambda data: data), known(), ""),
        (report(None), known(), "ForgedStatement"),
        (report(OTHER), known(), "ForgedStatement"),
        (report(KEY), known(OTHER), "ForgedStatement"),
        (report(KEY, place=status_key("b" * 32)), known(), "ForgedStatement"),
        (report(KEY, place="locks/stable/0"), known(), "ForgedStatement"),
        (report(generate("0" * 16)), known(), "ForgedStatement"),
        (report(PrivateKey(fleet="0" * 16, seed=KEY.seed)), known(), "ForgedStatement"),
        (changed(report(KEY), lambda data: data.update(phase="rolled-back")), known(), "ForgedStatement"),
        (changed(report(KEY), lambda data: data.update(signatures=5)), known(), "ForgedStatement"),
        (changed(report(KEY), lambda data: data.update(signatures={KEY.id: 5})), known(), "ForgedStatement"),
        (changed(report(KEY), lambda data: data.update(signatures={KEY.id: "ä"})), known(), "ForgedStatement"),
        (changed(report(OTHER), lambda data: data.update(signatures={KEY.id: "A" * 88})), known(), "ForgedStatement"),
        (StoredEntry(key=status_key(MACHINE), data=b"[" * 99999, version=""), known(), "ForgedStatement"),
        (StoredEntry(key=status_key(MACHINE), data=b"\xff", version=""), known(), "ForgedStatement"),
        (report(KEY), known(revoked="stolen"), "IdentityRevoked"),
    ],
)  # fmt: skip
def test_a_statement_counts_if_the_key_of_the_machine_signed_it_for_its_place(
    entry: StoredEntry, identities: Identities, code: str
) -> None:
    refusal = identities.refusal(MACHINE, entry.key, read_statement(entry.data), valid_signers)

    assert (refusal.code if refusal else "") == code


def test_without_an_identity_everything_counts_unless_the_fleet_requires_one() -> None:
    entry = report(None)
    unsigned = (MACHINE, entry.key, read_statement(entry.data), valid_signers)
    assert Identities().refusal(*unsigned) is None
    assert Identities(fleet=FleetRecord(fleet=FLEET)).refusal(*unsigned) is None
    refusal = Identities(fleet=FleetRecord(fleet=FLEET, require=True)).refusal(*unsigned)
    assert refusal
    assert refusal.code == "NotEnrolled"


class Publisher:
    """A machine that reports to a store, with a clock that can be set."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.now = 1_000_000.0
        monkeypatch.setattr(report_publisher, "time", self)
        self.store = DirectoryDatabase(path / "store")
        self.store.root.mkdir()
        (path / PATH).parent.mkdir(parents=True)
        self.publisher = self.start()

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return 0.0

    def start(self) -> ReportPublisher:
        return ReportPublisher(root=self.path, open=lambda: DirectoryDatabase(self.store.root), key=KEY)

    async def send(self, **more: object) -> MachineReport:
        (self.path / PATH).write_bytes(encode_report(MachineReport(machine=MACHINE, **more)))  # type: ignore[arg-type]
        assert await self.publisher._attempt(Backoff()) is None
        entry = await self.store.get(status_key(MACHINE))
        assert entry
        assert known().refusal(MACHINE, entry.key, read_statement(entry.data), valid_signers) is None
        return decode_report(entry.data)


@pytest.fixture
def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publisher:
    return Publisher(tmp_path, monkeypatch)


async def test_reports_stay_in_order_when_the_clock_steps_back_and_the_process_starts_anew(
    publisher: Publisher,
) -> None:
    first = await publisher.send()
    publisher.now = 1.0
    second = await publisher.send(generation=2)
    publisher.publisher = publisher.start()
    third = await publisher.send(generation=3)

    assert first.sequence < second.sequence < third.sequence
    assert third.seen == 1


async def test_an_earlier_report_that_somebody_wrote_back_does_not_count(publisher: Publisher) -> None:
    store = publisher.store
    for key, record in ((FLEET_KEY, FleetRecord(fleet=FLEET)), (f"machines/{MACHINE}", known().machines[MACHINE])):
        await store.put(key, encode_record(record), expect=ANY)
    memory = ReportMemory()
    await publisher.send(generation=1)
    earlier = await store.get(status_key(MACHINE))
    assert earlier
    await publisher.send(generation=2)
    assert [one.generation for one in (await read_reports(store, memory)).machines] == [2]

    await store.put(status_key(MACHINE), earlier.data, expect=ANY)

    reports = await read_reports(store, memory)
    assert reports.machines == ()
    assert reports.refused[status_key(MACHINE)].code == "ReplayedReport"
    await publisher.send(generation=3)
    assert [one.generation for one in (await read_reports(store, memory)).machines] == [3]


async def test_a_machine_notices_what_others_write_in_its_name(
    publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    await publisher.send(generation=1)
    await publisher.store.put(status_key(MACHINE), b'{"machine": "x", "sequence": 9999999999}', expect=ANY)

    assert (await publisher.send(generation=2)).sequence < 9_999_999_999
    assert f"somebody else wrote {status_key(MACHINE)} in the name of this machine" in caplog.text


def test_a_key_and_a_token_are_one_line_each_and_are_not_shown() -> None:
    key = PrivateKey(fleet=FLEET, seed=KEY.seed, user="web3", password="secret")

    assert parse_machine_key(machine_key_line(key)) == key
    assert parse_token(token_line(KEY)) == KEY
    assert "secret" not in repr(key)
    assert machine_key_line(key).split()[2] not in repr(key)


@pytest.mark.parametrize(
    "text",
    ["", "ordain-machine-key", "ordain-machine-key x y", f"ordain-machine-key {FLEET} AAAA", token_line(KEY)]
    + [f"{machine_key_line(KEY)} {more}" for more in ("x", "x=y", "user=a user=b")],
    ids=[
        "nothing",
        "one word",
        "no key",
        "a short key",
        "a token",
        "a word more",
        "an unknown option",
        "a double option",
    ],
)
def test_a_line_that_is_not_a_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"^it|^its") as refused:
        parse_machine_key(text)
    assert KEY.seed.hex() not in str(refused.value)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"machine": 5}', b'{"machine": "a", "key": "AAAA"}', b'{"format": 2}', b"[" * 99999]
)
def test_a_text_that_is_not_a_record_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any message will do
        decode_record(MachineRecord, data)


def test_a_record_of_a_later_format_is_not_understood_in_part() -> None:
    later = json.loads(encode_record(known().machines[MACHINE])) | {"format": 2}
    with pytest.raises(ValueError, match="later version"):
        decode_record(MachineRecord, json.dumps(later).encode())


def test_a_machine_seals_its_key_and_falls_back_to_a_file_of_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sealing(argv: object, data: bytes) -> bytes:
        return bytes(reversed(data))

    def refusing(argv: object, data: bytes) -> bytes:
        raise OSError("systemd-creds: no TPM, and /var is not lasting")

    monkeypatch.setattr(key_file, "Path", lambda text: tmp_path if text == "/" else Path(text))
    path = key_file.write_machine_key(tmp_path, KEY, program=refusing)
    assert path == "/etc/credstore/ordain.machine-key"
    assert (tmp_path / path.lstrip("/")).stat().st_mode & 0o777 == 0o600
    assert key_file.read_machine_key(tmp_path, program=refusing) == KEY

    path = key_file.write_machine_key(tmp_path, OTHER, program=sealing)
    assert path == "/etc/credstore.encrypted/ordain.machine-key"
    assert not (tmp_path / "etc/credstore/ordain.machine-key").exists(), "no key is left that is not sealed"
    assert key_file.read_machine_key(tmp_path, program=sealing) == OTHER
    with pytest.raises(Failure, match="cannot read the key of this machine"):
        key_file.read_machine_key(tmp_path, program=refusing)


def test_a_key_that_came_with_the_boot_is_used(tmp_path: Path) -> None:
    received = tmp_path / "run/credentials/@system"
    received.mkdir(parents=True)
    (received / "ordain.machine-key").write_text(machine_key_line(KEY))

    assert key_file.read_machine_key(tmp_path) == KEY


def test_a_record_that_two_servers_changed_vouches_and_opens_nothing() -> None:
    """The machine may have been revoked on the other server, and have a key for secrets that somebody else knows."""
    secret = encode_key(b"s" * 32)
    in_conflict = replace(known(encryption=secret), conflicts={f"machines/{MACHINE}": "has 2 versions in conflict"})
    assert recipient_keys(["machine=web3"], known(encryption=secret)).keys

    keys = recipient_keys(["machine=web3"], in_conflict)

    assert keys.keys == {}
    assert "changed on two servers" in keys.without[0]
    request = EnrollmentRequest(machine=MACHINE, hostname="web3", key="", encryption=secret)
    statement = enrollment.make_request(request, OTHER, earlier=KEY)
    entry = StoredEntry(key=enrollment.request_key(MACHINE), data=json.dumps(statement).encode(), version="1")
    read = enrollment.read_request(entry, FLEET, valid_signers)
    assert enrollment.vouch(entry, read, known(encryption=secret), 0.0, valid_signers).reason
    voucher = enrollment.vouch(entry, read, in_conflict, 0.0, valid_signers)
    assert not voucher.reason
    assert "changed on two servers" in voucher.doubt


def test_a_token_that_two_servers_changed_admits_nobody() -> None:
    token = generate(FLEET)
    record = TokenRecord(key=encode_key(token.public), expires=10)
    request = EnrollmentRequest(machine="b" * 32, hostname="web4", key="")
    statement = enrollment.make_request(request, OTHER, token)
    entry = StoredEntry(key=enrollment.request_key("b" * 32), data=json.dumps(statement).encode(), version="1")
    read = enrollment.read_request(entry, FLEET, valid_signers)
    with_token = replace(known(), tokens={token.id: record})
    assert enrollment.vouch(entry, read, with_token, 0.0, valid_signers).reason
    in_conflict = replace(with_token, conflicts={f"{TOKENS}{token.id}": "has 2 versions in conflict"})
    assert "may have been used" in enrollment.vouch(entry, read, in_conflict, 0.0, valid_signers).doubt


def test_a_recovery_key_that_two_servers_changed_opens_nothing() -> None:
    record = RecoveryRecord(key=encode_key(b"r" * 32))
    with_key = replace(known(), recovery={"r1": record})
    assert recipient_keys(["recovery"], with_key).keys
    in_conflict = replace(with_key, conflicts={f"{RECOVERY}r1": "has 2 versions in conflict"})
    assert recipient_keys(["recovery"], in_conflict).keys == {}
    assert "secret recovery --revoke r1" in recipient_keys(["recovery"], in_conflict).without[0]


def test_a_machine_without_a_record_counts_for_nothing_while_the_policy_is_in_conflict() -> None:
    in_conflict = replace(known(), conflicts={FLEET_KEY: "has 2 versions in conflict"})
    assert known().refusal("b" * 32, "status/b", None, valid_signers) is None
    refusal = in_conflict.refusal("b" * 32, "status/b", None, valid_signers)
    assert refusal
    assert "fleet identity --require" in str(refusal)
    entry = report(KEY)
    assert in_conflict.refusal(MACHINE, entry.key, read_statement(entry.data), valid_signers) is None


@pytest.mark.parametrize(
    "content", [{}, {"a": 1}, {"z": "ä\ud800"}, {"a": {"signatures": {}}}, {"a": ['"signatures":{"']}]
)
def test_a_statement_is_checked_by_its_stored_text(content: dict[str, object]) -> None:
    place = Place(fleet=FLEET, key=status_key(MACHINE))
    signed = KEY.sign(place.key, content)
    stored = encode_statement(signed)
    checked: list[bytes] = []

    def check(data: bytes, signatures: Mapping[bytes, str]) -> frozenset[bytes]:
        checked.append(data)
        return valid_signers(data, signatures)

    assert signers_of(place, json.loads(stored), [KEY.public], check, stored) == {KEY.public}
    assert checked == [signed_bytes(place, content)]
    spaced = json.dumps(signed, indent=1).encode()  # as earlier versions wrote it, or somebody who edits it
    assert signers_of(place, json.loads(spaced), [KEY.public], check, spaced) == {KEY.public}


SIGNED = encode_statement(KEY.sign(status_key(MACHINE), {"a": {"b": 1}, "t": 1, "z": {}}))
SIGNATURE = re.findall(rb'"signatures":\{[^}]*\}', SIGNED)[0]
WITHOUT = SIGNED.replace(SIGNATURE + b",", b"")


@pytest.mark.parametrize(
    "stored",
    [
        WITHOUT.replace(b'"b":1', b'"b":1,' + SIGNATURE),
        WITHOUT.replace(b'"z":{}', b'"z":{' + SIGNATURE + b"}"),
        WITHOUT.replace(b'"z":{}', b'"z":{' + SIGNATURE + b'},"signatures":' + SIGNATURE[14:]),
        WITHOUT.replace(b'"z":{}', b'"z":{' + SIGNATURE + b'},"signatur\\u0065s":' + SIGNATURE[13:]),
        WITHOUT.replace(b'"z":{}', b'"z":{' + SIGNATURE + b'},"signatures" :' + SIGNATURE[13:]),
        SIGNED.replace(b'"t":1', b'"t":2'),
        SIGNED.replace(b'"z":{}', b'"z":{},"t":2'),
        SIGNED.replace(b'{"a"', b'{"t":2,"a"'),
        SIGNED.replace(SIGNATURE, SIGNATURE + b"," + SIGNATURE).replace(b'"t":1', b'"t":3'),
    ],
    ids=range(9),  # the texts are others in each process
)
def test_no_other_text_has_the_signature(stored: bytes) -> None:
    """The signature is cut out of the stored text: a text with it elsewhere, or with other values, is not signed."""
    place = Place(fleet=FLEET, key=status_key(MACHINE))
    statement = read_statement(stored) or {}
    assert signers_of(place, json.loads(SIGNED), [KEY.public], valid_signers, SIGNED)
    found = signers_of(place, statement, [KEY.public], valid_signers, stored)
    assert not found or {**statement, "signatures": 0} == {**json.loads(SIGNED), "signatures": 0}
    assert found == signers_of(place, statement, [KEY.public], valid_signers)


async def test_a_report_that_is_the_same_is_checked_once_but_always_held_against_the_record(
    tmp_path: Path,
) -> None:
    database = DirectoryDatabase(tmp_path)
    texts = {FLEET_KEY: FleetRecord(fleet=FLEET), f"machines/{MACHINE}": known().machines[MACHINE]}
    for key, record in texts.items():
        await database.put(key, encode_record(record), expect=None)  # type: ignore[arg-type]
    first, second = (
        encode_statement(KEY.sign(status_key(MACHINE), {"machine": MACHINE, "sequence": n})) for n in (1, 2)
    )
    checks: list[bytes] = []

    def check(data: bytes, signatures: Mapping[bytes, str]) -> frozenset[bytes]:
        checks.append(data)
        return valid_signers(data, signatures)

    memory = ReportMemory(check=check)

    async def read(data: bytes) -> str:
        await database.put(status_key(MACHINE), data, expect=ANY)
        found = await read_reports(database, memory)
        return next((refusal.code for refusal in found.refused.values()), "") or f"{found.machines[0].sequence}"

    assert [await read(first), await read(first), await read(second)] == ["1", "1", "2"]
    assert len(checks) == 2
    assert await read(first) == "ReplayedReport"
    assert await read(second) == "2"
    revoked = replace(known().machines[MACHINE], revoked="stolen")
    await database.put(f"machines/{MACHINE}", encode_record(revoked), expect=ANY)
    assert await read(second) == "IdentityRevoked"
    other = replace(revoked, revoked="", key=encode_key(OTHER.public))
    await database.put(f"machines/{MACHINE}", encode_record(other), expect=ANY)
    assert await read(second) == "ForgedStatement"
