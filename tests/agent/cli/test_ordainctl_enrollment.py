"""ordainctl fleet token, enroll, approve, revoke, identity: a machine gets a key, and nobody else can report for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ordain.agent.cli.main import main
from ordain.agent.delivery.database.database import ANY
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.fleet.report import MachineReport, encode_report
from ordain.agent.delivery.fleet.report_publisher import status_key
from ordain.agent.delivery.identity.key_file import SECRET_EARLIER, read_decryption_key, read_machine_key
from ordain.agent.delivery.release.change_log import read_changes
from ordain.agent.status import AgentState as Phase
from support.stores.enrolled_fleet import Fleet


@pytest.fixture
def fleet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Fleet:
    return Fleet(tmp_path, capsys)


def machines_of(fleet: Fleet, status: int = 0) -> list[str]:
    """Return the names of the machines that `fleet status` counts."""
    out = fleet.run("status", "--json", status=status)
    return [machine["hostname"] for machine in json.loads(out[: out.rindex("]\n") + 1])]


def test_a_token_enrolls_the_machine_that_it_is_for(fleet: Fleet) -> None:
    web3 = fleet.machine("web3", "a")
    token = fleet.token("--name", "web3", "--label", "role=web")

    asked = fleet.run("enroll", "--token-file", token, root=web3, status=3)
    approved = fleet.run("approve", "--vouched")

    assert "web3 (" + "a" * 32 + "): enrolled, token " in approved
    key = read_machine_key(web3)
    assert key
    assert f"--key {key.id}" in asked
    assert (web3 / "etc/credstore/ordain.machine-key").stat().st_mode & 0o777 == 0o600
    assert "enrolled as web3" in fleet.run("enroll", root=web3)
    (machine,) = json.loads(fleet.run("identity", "--json"))["machines"]
    assert (machine["key-id"], machine["labels"]) == (key.id, {"role": ["web"]})
    assert "no machine asks" in fleet.run("approve")


def test_an_administrator_approves_by_the_id_of_the_key(fleet: Fleet) -> None:
    web3 = fleet.machine("web3", "a")
    fleet.run("identity", "--no-require")
    fleet.run("enroll", root=web3, status=3)
    key = read_machine_key(web3)
    assert key

    assert "nobody vouches for it" in fleet.run("approve")
    assert "1 request left" in fleet.run("approve", "--vouched")
    assert "not 0123456789abcdef; nothing was approved" in fleet.run(
        "approve", "web3", "--key", "0123456789abcdef", status=1
    )
    assert "nobody can be asked here" in fleet.run("approve", "web3", status=2)
    assert "enrolled, an administrator compared the key" in fleet.run("approve", "web3", "--key", key.id)


def test_the_report_of_an_enrolled_machine_counts_only_with_its_signature(fleet: Fleet) -> None:
    web3, other = fleet.machine("web3", "a"), fleet.machine("other", "b")
    fleet.join(web3)
    fleet.report(web3)
    fleet.report(other)
    assert sorted(machines_of(fleet)) == ["other", "web3"]
    key = read_machine_key(web3)
    assert key
    assert f"key {key.id}, enrolled by" in fleet.run("show", "web3")
    assert "none: others can report in its name" in fleet.run("show", "other")

    forged = encode_report(MachineReport(machine="a" * 32, hostname="web3", phase=Phase.ROLLED_BACK, seen=2**33))
    fleet.database(lambda store: store.put(status_key("a" * 32), forged, expect=ANY))

    out = fleet.run("status", status=3)
    assert "it is not signed: somebody else wrote it, or web3 has lost its key [ForgedStatement]" in out
    assert machines_of(fleet, status=3) == ["other"]
    fleet.report(web3)
    assert sorted(machines_of(fleet)) == ["other", "web3"], "the machine writes its report again"


def test_a_report_that_was_copied_from_another_place_does_not_count(fleet: Fleet, tmp_path: Path) -> None:
    web3, web4 = fleet.machine("web3", "a"), fleet.machine("web4", "b")
    fleet.join(web3)
    fleet.join(web4)
    fleet.report(web3)
    fleet.report(web4)
    stolen = fleet.database(lambda store: store.get(status_key("a" * 32)))
    assert stolen

    fleet.database(lambda store: store.put(status_key("b" * 32), stolen.data, expect=ANY))

    assert "the key of web4 did not sign it for this place" in fleet.run("status", status=3)
    # The same key signs in another fleet for that fleet only.
    record = json.loads((fleet.store / "machines/_fleet").read_text())
    (fleet.store / "machines/_fleet").write_text(json.dumps({**record, "fleet": "0" * 16}))
    assert "the key of web3 did not sign it for this place" in fleet.run("status", status=3)


def test_a_revoked_machine_does_not_count_until_it_is_approved_again(fleet: Fleet) -> None:
    web3 = fleet.machine("web3", "a")
    fleet.join(web3)
    fleet.report(web3)
    fleet.run("revoke", "web3", "--why", "stolen")

    assert "the identity of web3 was revoked: stolen [IdentityRevoked]" in fleet.run("status")
    changes = fleet.database(read_changes).changes
    assert [(change.action, change.subjects, change.why) for change in changes] == [
        ("enroll", ("web3",), ""),
        ("enroll", ("web3",), ""),
        ("revoke", ("web3",), "stolen"),
    ]
    assert changes[1].what.startswith("token ")
    fleet.run("enroll", root=web3, status=3)
    assert "nobody: nobody vouches for it" in fleet.run("approve"), "its own key counts no longer"
    role = fleet.token("--label", "role=web")
    fleet.run("enroll", "--token-file", role, root=web3, status=3)
    assert "is not for a machine that is enrolled already" in fleet.run("approve")
    assert fleet.join(web3).startswith("web3")
    assert machines_of(fleet) == ["web3"]


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (("--name", "web4"), "is for web4"),
        (("--name", "web3", "--for", "1us"), "has expired"),
    ],
)
def test_a_token_for_another_machine_or_time_vouches_for_nobody(
    fleet: Fleet, token: tuple[str, ...], reason: str
) -> None:
    web3 = fleet.machine("web3", "a")
    fleet.run("enroll", "--token-file", fleet.token(*token), root=web3, status=3)
    assert reason in fleet.run("approve")
    assert "enrolled" not in fleet.run("approve", "--vouched")


def test_a_token_enrolls_one_machine_only(fleet: Fleet) -> None:
    token = fleet.token("--label", "role=web")
    for name, digit in (("web3", "a"), ("web4", "b")):
        fleet.run("enroll", "--token-file", token, root=fleet.machine(name, digit), status=3)

    out = fleet.run("approve", "--vouched")

    assert out.count("enrolled") == 1
    assert "1 request left" in out
    assert "was used before, by " + "a" * 32 in fleet.run("approve")


def test_a_machine_that_lost_its_disk_takes_its_name_back_with_a_new_token(fleet: Fleet) -> None:
    fleet.join(fleet.machine("web3", "a"))
    installed_again = fleet.machine("web3", "b")
    fleet.run("enroll", "--token-file", fleet.token("--label", "role=web"), root=installed_again, status=3)
    assert f"is not for the name web3, which {'a' * 32} has" in fleet.run("approve")

    fleet.join(installed_again)

    fleet.report(installed_again)
    states = {m["machine"][0]: m["revoked"] for m in json.loads(fleet.run("identity", "--json"))["machines"]}
    assert states == {"a": f"{'b' * 32} is called web3 now", "b": ""}
    assert machines_of(fleet) == ["web3"]


def test_the_key_of_a_machine_vouches_for_the_next_one(fleet: Fleet) -> None:
    web3 = fleet.machine("web3", "a")
    fleet.join(web3)
    before = read_machine_key(web3)
    (web3 / "etc/credstore/ordain.secret-key").unlink()  # as on a machine that was enrolled before there were secrets
    record_without_secrets(fleet)

    fleet.run("enroll", "--new-key", root=web3, status=3)
    assert read_machine_key(web3) == before, "until the new one is registered"
    assert "which the machine had before" in fleet.run("approve", "--vouched")
    assert "enrolled as web3" in fleet.run("enroll", root=web3)

    after = read_machine_key(web3)
    assert before
    assert after
    assert before.id != after.id
    fleet.report(web3)
    assert machines_of(fleet) == ["web3"]


def record_without_secrets(fleet: Fleet) -> None:
    """Remove the key for secrets from the only record, as an earlier version wrote it."""

    async def work(store: DirectoryDatabase) -> None:
        (entry,) = (await store.list(f"machines/{'a' * 32}")).entries
        record = {**json.loads(entry.data), "encryption": ""}
        await store.put(entry.key, json.dumps(record).encode(), expect=entry.version)

    fleet.database(work)


def encryption_of(fleet: Fleet) -> str:
    (machine,) = json.loads(fleet.run("identity", "--json"))["machines"]
    return str(machine["encryption"])


def test_a_machine_of_an_earlier_version_adds_its_key_for_secrets_when_it_enrolls_again(fleet: Fleet) -> None:
    web3 = fleet.machine("web3", "a")
    fleet.join(web3)
    (web3 / "etc/credstore/ordain.secret-key").unlink()
    record_without_secrets(fleet)

    fleet.run("enroll", root=web3, status=3)
    assert "which the machine had before" in fleet.run("approve", "--vouched")

    key = read_decryption_key(web3)
    assert key
    assert encryption_of(fleet) == key.public_text
    assert "enrolled as web3" in fleet.run("enroll", root=web3)


def test_the_signing_key_alone_does_not_change_the_key_for_secrets(fleet: Fleet) -> None:
    web3 = fleet.machine("web3", "a")
    fleet.join(web3)
    before = read_decryption_key(web3)
    assert before

    asked = fleet.run("enroll", "--new-key", root=web3, status=3)
    assert "cannot vouch for another key for secrets" in fleet.run("approve")
    assert "1 request left" in fleet.run("approve", "--vouched")
    assert encryption_of(fleet) == before.public_text
    fleet.run("approve", "web3", "--key", asked.split("--key ")[1].strip())
    assert "wait for `ordainctl secret reseal`" in fleet.run("enroll", root=web3)

    after = read_decryption_key(web3)
    assert after
    assert encryption_of(fleet) == after.public_text != before.public_text
    assert read_decryption_key(web3, SECRET_EARLIER) == before, "it opens what is sealed for it meanwhile"


def test_a_fleet_may_require_identities(fleet: Fleet) -> None:
    web3, other = fleet.machine("web3", "a"), fleet.machine("other", "b")
    fleet.join(web3)
    fleet.report(web3)
    fleet.report(other)
    fleet.run("identity", "--require")

    assert machines_of(fleet) == ["web3"]
    assert "the machine is not enrolled, and this fleet requires it [NotEnrolled]" in fleet.run("status")
    fleet.run("identity", "--no-require")
    assert sorted(machines_of(fleet)) == ["other", "web3"]


def test_nobody_asks_for_an_identity_in_the_name_of_another_machine(fleet: Fleet) -> None:
    web3 = fleet.machine("web3", "a")
    fleet.run("enroll", "--token-file", fleet.token("--name", "web3"), root=web3, status=3)
    stolen = fleet.database(lambda store: store.get(f"enroll/{'a' * 32}"))
    assert stolen
    request = {**json.loads(stolen.data), "machine": "b" * 32}
    fleet.database(lambda store: store.put(f"enroll/{'b' * 32}", json.dumps(request).encode(), expect=ANY))
    fleet.database(lambda store: store.put("enroll/x", b"[]", expect=ANY))

    out = fleet.run("approve")

    assert f"enroll/{'b' * 32} does not count: its own key did not sign it" in out
    assert "enroll/x does not count" in out


def test_a_damaged_record_admits_no_report(fleet: Fleet) -> None:
    web3 = fleet.machine("web3", "a")
    fleet.join(web3)
    fleet.report(web3)
    (fleet.store / f"machines/{'a' * 32}").write_text("{")
    assert "[IdentityDamaged]" in fleet.run("status", status=3)
    (fleet.store / "machines/_fleet").write_text("{")
    assert "machines/_fleet cannot be read" in fleet.run("status", status=3)
    assert "machines/_fleet cannot be read" in fleet.run("enroll", root=web3, status=1)


def test_a_token_of_another_fleet_is_refused_on_the_machine(fleet: Fleet) -> None:
    web3 = fleet.machine("web3", "a")
    token = Path(fleet.token("--name", "web3"))
    token.write_text(token.read_text().replace(token.read_text().split()[1], "0" * 16))
    assert "the token is for the fleet 0000" in fleet.run("enroll", "--token-file", str(token), root=web3, status=1)
    token.write_text("ordain-token x")
    assert "cannot read the token" in fleet.run("enroll", "--token-file", str(token), root=web3, status=1)


def test_a_machine_without_a_disk_gets_the_key_that_an_administrator_made(fleet: Fleet) -> None:
    assert main(["fleet", "prepare", "A" * 32, "--name", "node7", f"--store={fleet.store}"], root=fleet.path) == 0
    line = fleet._capsys.readouterr().out
    node7 = fleet.machine("node7", "a")
    received = node7 / "run/credentials/@system"
    received.mkdir(parents=True)
    (received / "ordain.machine-key").write_text(line)

    fleet.report(node7)

    assert machines_of(fleet) == ["node7"]
    assert "enrolled as node7" in fleet.run("enroll", root=node7)
    assert "32 hexadecimal digits" in fleet.run("prepare", "7", "--name", "node7", status=2)


def test_a_restored_backup_brings_no_revoked_machine_and_no_used_token_back(fleet: Fleet, tmp_path: Path) -> None:
    web3, thief, late = fleet.machine("web3", "a"), fleet.machine("web5", "b"), fleet.machine("web4", "c")
    fleet.join(web3)
    token = fleet.token("--name", "web5")
    backup, store = str(tmp_path / "backup"), f"--store={fleet.store}"
    assert main(["store", "backup", backup, store]) == 0
    fleet.run("enroll", "--token-file", token, root=fleet.machine("web5", "d"), status=3)
    fleet.run("approve", "--vouched")
    fleet.run("revoke", "web3", "--why", "stolen")
    (fleet.store / "releases/_changes").rename(tmp_path / "changes")  # the rest of the store is older, too

    assert main(["store", "restore", backup, "--yes", "--replace", store]) == 0

    shown = fleet.run("identity")
    assert "revoked: stolen" in shown
    fleet.run("enroll", "--token-file", token, root=thief, status=3)
    assert "was used before" in fleet.run("approve")

    fleet.store = tmp_path / "new"
    fleet.store.mkdir()
    assert main(["store", "restore", backup, "--yes", f"--store={fleet.store}"]) == 0
    note = fleet.run("identity")
    assert "web3" in note
    fleet.run("enroll", "--token-file", token, root=late, status=3)
    assert "there is no token" in fleet.run("approve")
