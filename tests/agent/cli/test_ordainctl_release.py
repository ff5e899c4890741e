"""ordainctl release and fleet, with a directory as the store: from a key to a promoted release."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from ordain.agent.cli.main import main
from ordain.agent.delivery.database.database import ANY
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.fleet.report import MachineReport, ReportedCondition, encode_report
from ordain.agent.delivery.fleet.report_publisher import LOST_SEC, status_key
from ordain.agent.delivery.protocol import ReleaseReference
from ordain.agent.delivery.release.highest_accepted import read_highest, record_accepted
from ordain.agent.delivery.release.publish import BLOBS, head_key
from ordain.agent.delivery.release.verify import AcceptedRelease
from ordain.agent.delivery.spread import position
from ordain.agent.status import AgentState
from ordain.transforms.model import Facts

BASE = "ordain: v1\nkind: Layer\nname: base\n"


class Desk:
    """The working directory of an operator, and a store."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.chdir(path)
        monkeypatch.setattr("getpass.getpass", lambda prompt="": "secret")
        self.root = path / "machine"
        self.capsys = capsys
        (path / "store").mkdir()
        (path / "documents").mkdir()
        (path / "documents/base.yaml").write_text(BASE)
        self.store = str(path / "store")
        self.database = DirectoryDatabase(path / "store")

    def do(self, words: str, status: int = 0, *more: str) -> str:
        """Run ordainctl with ``words``, and return its output."""
        arguments = [*words.split(), *more]
        stored = {"release": "keygen sign forget", "fleet": ""}
        if arguments[1] not in stored.get(arguments[0], "").split():
            arguments += ["--store", self.store]
        found = main(arguments, root=self.root)
        said = self.capsys.readouterr()
        assert found == status, said.out + said.err
        return said.out + said.err

    def report(self, number: int, **more: object) -> None:
        given = {"hostname": f"web{number}", **more}
        found = MachineReport(machine=f"{number:032x}", seen=int(time.time()), **given)  # type: ignore[arg-type]
        asyncio.run(self.database.put(status_key(found.machine), encode_report(found), expect=ANY))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, monkeypatch, capsys)


def test_a_directory_is_not_moved_away_for_a_release(desk: Desk) -> None:
    desk.do("release keygen ops")
    Path("folder").mkdir()
    Path("folder/mine").touch()

    assert "folder is a directory" in desk.do("release create documents --key ops.key --output folder", 1)
    assert Path("folder/mine").exists()


def test_a_release_of_nothing_is_refused_unless_it_is_meant(desk: Desk) -> None:
    Path("empty").mkdir()
    Path("empty/blank.yaml").touch()

    assert "empty: there is no document, so that the release would remove everything" in desk.do(
        "release create empty --number 1 --output r.json", 1
    )
    desk.do("release create empty --number 1 --shrinks --output r.json")


def trust(desk: Desk) -> None:
    folder = desk.root / "etc/ordain/trust"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ops.pub").write_text(Path("ops.pub").read_text())


def canary(desk: Desk) -> None:
    """Sign and publish a release of the channel canary."""
    desk.do("release keygen ops")
    trust(desk)
    desk.do("release create documents --channel canary --key ops.key --output canary.json")
    desk.do("release publish canary.json documents")


def test_publishing_promoting_and_orders_to_a_rollout_are_logged_with_their_reason(desk: Desk) -> None:
    canary(desk)
    desk.do("release publish canary.json documents")  # it was published before
    desk.do("release promote canary stable --key ops.key", 0, "--why", "it was well for a day")
    desk.do("release rollout stable --once", 0)
    desk.do("release rollout stable --once", 4, "--stop", "slow disks")
    desk.do("release rollout stable --once --open 100%", 0, "--why", "the disks are new")

    changes = json.loads(desk.do("query changes --json"))
    assert [(c["action"], c["subjects"], c["why"]) for c in changes] == [
        ("publish", ["canary 1"], ""),
        ("promote", ["stable 2"], "it was well for a day"),
        ("rollout", ["stable 2"], "slow disks"),
        ("rollout", ["stable 2"], "the disks are new"),
    ]
    assert changes[0]["what"].startswith("signed by ")
    assert [c["what"] for c in changes[1:]] == ["canary 1 as stable 2", "stopped", "opened to 100%"]
    for change in Path("store/releases/_changes").iterdir():
        change.unlink()
    assert [(c["action"], c["subjects"]) for c in json.loads(desk.do("query changes --json"))] == [
        ("publish", ["canary 1"]),
        ("publish", ["stable 2"]),
    ]


def test_a_release_is_created_signed_published_promoted_and_rolled_back(desk: Desk) -> None:
    assert "the private key; keep it secret" in desk.do("release keygen ops")
    assert Path("ops.key").stat().st_mode & 0o777 == 0o600
    trust(desk)
    assert "release canary 1, 1 document" in desk.do("release create documents --channel canary --output canary.json")
    assert "is not signed [VerifyFailed]" in desk.do("release verify canary.json documents", 1)
    assert "1 signature" in desk.do("release sign canary.json --key ops.key")
    assert "signed by ops; 1 document with the signed content" in desk.do("release verify canary.json documents")
    assert "published" in desk.do("release publish canary.json documents")
    assert "already published" in desk.do("release publish canary.json documents")
    assert "signed by ops; 1 document with the signed content" in desk.do("release verify canary")
    assert "release canary 1: published as stable 2" in desk.do("release promote canary stable --key ops.key")
    Path("documents/base.yaml").write_text(BASE + "values: {a: b}\n")
    desk.do("release create documents --key ops.key --output stable.json", 0, "--about", "a value")
    desk.do("release publish stable.json documents")
    assert "release stable 2: published as stable 4" in desk.do("release promote stable/2 stable --key ops.key")

    listed = json.loads(desk.do("release list --json"))

    assert [(r["channel"], r["number"], r["head"]) for r in listed] == [
        ("canary", 1, True),
        ("stable", 2, False),
        ("stable", 3, False),
        ("stable", 4, True),
    ]
    assert listed[1]["documents"] == listed[3]["documents"]
    assert listed[3]["about"] == "as stable 2"
    assert "a value" in desk.do("release list")

    desk.do("release rollout stable --open 100% --once")
    assert "a value" in desk.do("release list")
    assert "would delete 1 release and 0 documents; 3 releases kept" in desk.do(
        "release prune stable --keep 2 --dry-run"
    )
    assert json.loads(desk.do("release prune --keep 1 --json"))["gone"] == ["stable 2", "stable 3"]
    assert "nothing to delete; 2 releases kept" in desk.do("release prune --keep 1")
    assert "'0' is not the number of a release" in desk.do("release prune --keep 0", 2)


def test_a_protected_key_signs_with_its_passphrase(desk: Desk) -> None:
    desk.do("release keygen ops --passphrase")
    desk.do("release create documents --key ops.key --number 7 --output r.json")
    trust(desk)

    assert "ENCRYPTED" in Path("ops.key").read_text()
    assert "release stable 7: signed by ops" in desk.do("release verify r.json")


def test_a_key_is_never_overwritten(desk: Desk) -> None:
    desk.do("release keygen ops")

    assert "exists already" in desk.do("release keygen ops", 1)


def test_rollout_options_are_in_the_release_and_wrong_ones_are_refused(desk: Desk) -> None:
    words = "release create documents --splay 10min --max-parallel 5 --stages 1%,100% --stop-at 2% --soak 1h"
    made = json.loads(desk.do(words, 0, "--window", "Sat,Sun 02:00-05:00"))

    assert made["rollout"] == {
        "splay": "10min",
        "max-parallel": 5,
        "windows": ["Sat,Sun 02:00-05:00"],
        "stages": ["1%", "100%"],
        "stop-at": "2%",
        "soak": "1h",
    }
    assert "'1%;2%' is not a share" in desk.do("release create documents --stages 1%;2%", 1)
    assert "is not a maintenance window" in desk.do("release create documents", 1, "--window", "at night")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("release show stable", 1, "there is no release stable in"),
        ("release show stable/x", 2, "'x' is not the number of a release"),
        ("release create documents --number 0", 2, "'0' is not the number of a release"),
        ("release create nothing", 1, "No such file"),
        ("release sign documents/base.yaml --key ops.key", 1, "expected a Release, found a Layer"),
        ("release sign canary.json --key documents/base.yaml", 1, "cannot read a private key in PEM"),
        ("release promote canary stable", 2, "--key"),
        ("release promote stable canary --key ops.key", 1, "there is no release stable"),
        ("release publish canary.json --about x", 2, "unknown argument"),
        ("release rollout stable", 1, "channel stable has no release"),
        ("release rollout canary --open 7", 2, "such as 1%"),
        ("fleet show web9", 1, "no machine called web9 reports"),
        ("fleet status --label role", 2, "--label must be KEY=VALUE"),
    ],
)
def test_refusals_are_explained(desk: Desk, words: str, status: int, said: str) -> None:
    canary(desk)

    assert said in desk.do(words, status)


def test_a_document_that_differs_from_the_signed_one_is_not_promoted(desk: Desk) -> None:
    canary(desk)
    (blob,) = (desk.database.root / BLOBS).iterdir()
    blob.write_text(BASE + "#")

    assert "common/base.yaml is not the document that was signed" in desk.do("release verify canary", 1)
    assert "not the document" in desk.do("release promote canary stable --key ops.key", 1)
    head = desk.database.root / head_key("canary")
    head.write_text(head.read_text().replace('"canary-1"', '"canary-x"'))
    assert "does not match the content" in desk.do("release promote canary stable --key ops.key", 1)
    assert not (desk.database.root / head_key("stable")).exists()


def test_a_machine_accepts_an_older_release_after_release_forget(desk: Desk) -> None:
    record_accepted(desk.root, "stable", AcceptedRelease(number=9, hash="x"))

    assert "forgot that stable 9 was accepted" in desk.do("release forget stable")
    assert "no release of stable has been accepted on this machine" in desk.do("release forget stable")
    assert read_highest(desk.root) == {}


def test_fleet_status_is_a_table_that_labels_filter(desk: Desk) -> None:
    on = {"release": ReleaseReference(channel="stable", number=4), "labels": {"role": ("web",)}}
    desk.report(1, phase=AgentState.CONVERGED, generation=7, **on)
    desk.report(2, phase=AgentState.DEGRADED, conditions=(ReportedCondition(code="VerifyFailed"),), **on)
    desk.report(3, phase=AgentState.CONVERGED)

    text = desk.do("fleet status", 3)

    assert text.splitlines()[0].split() == "MACHINE RELEASE GENERATION STATE SOURCE LAST REPORT CONDITIONS".split()
    assert "web1" in text
    assert "stable 4" in text
    assert "VerifyFailed" in text
    assert "3 machines, 1 degraded, rolled back or lost" in text
    some = json.loads(desk.do("fleet status --label role=web --json", 3))
    assert [r["hostname"] for r in some] == ["web1", "web2"]
    assert json.loads(desk.do("fleet status --label role=web --label hostname=web1 --json")) == []


def test_fleet_status_shows_the_release_in_force_and_the_one_that_was_rolled_back(desk: Desk) -> None:
    on = {"release": ReleaseReference(channel="stable", number=5), "phase": AgentState.ROLLED_BACK}
    desk.report(1, in_force="stable 3", **on)
    desk.report(2, **on)  # of an earlier version of the agent

    text = desk.do("fleet status", 3)

    assert "stable 3 (stable 5 rolled back)" in text
    assert "an earlier one (stable 5 rolled back)" in text
    assert "stable 3 (stable 5 rolled back)" in desk.do("fleet show web1")


def test_a_preview_compares_a_machine_with_the_release_that_it_has(desk: Desk) -> None:
    Path("documents/base.yaml").write_text(BASE + "values: {a: 1}\n")
    canary(desk)
    facts = Facts(id="debian", version="12", systemd=252, hostname="web1")
    desk.report(1, release=ReleaseReference(channel="canary", number=1), facts=facts, generation=1)
    desk.report(2, release=ReleaseReference(channel="canary", number=9), facts=facts, generation=1)
    desk.report(3, facts=facts, generation=1)
    Path("documents/base.yaml").write_text(BASE + "values: {a: 2}\n")
    desk.do("documents put documents", 0, "--why", "a step before")
    Path("documents/base.yaml").write_text(BASE + "values: {a: 3}\n")

    shown = desk.do("documents put documents --preview")

    assert "affects 2 of 2 known machines, with the next release: compared with the one that each of them has" in shown
    assert "web1:\n    values/a: 1 → 3" in shown
    assert "web3:\n    values/a: 2 → 3" in shown
    assert "not known for 1 machine: release canary 9 is not in the store any more" in shown


def test_a_machine_without_recent_reports_is_lost_and_can_be_forgotten(desk: Desk) -> None:
    desk.report(1, phase=AgentState.CONVERGED)
    found = MachineReport(machine="a" * 32, hostname="old", seen=int(time.time() - LOST_SEC - 60))
    asyncio.run(desk.database.put(status_key(found.machine), encode_report(found), expect=ANY))

    assert "lost (starting)" in desk.do("fleet status", 3)
    assert "old" in desk.do("fleet show aaaa")
    desk.do("fleet forget old")
    assert "old" not in desk.do("fleet status")


def test_the_name_of_a_machine_controls_neither_table_nor_terminal(desk: Desk) -> None:
    forged = "\x1b]0;x\x07\x9b2J\nm10  stable 1  3  converged"
    condition = ReportedCondition(code="A\x1b[2J", item="x\ny", what="z\r")
    desk.report(9, hostname=forged, phase=AgentState.DEGRADED, conditions=(condition,))

    shown = [desk.do(words, status) for words, status in (("fleet status", 3), ("fleet show 000", 0))]

    assert [char for text in shown for char in text if char != "\n" and not char.isprintable()] == []
    assert not any(line.startswith("m10") for text in shown for line in text.splitlines())
    assert not set(desk.do("fleet status --json", 3)) & {"\x1b", "\x9b", "\x07"}


def test_the_list_of_machines_decides_whose_reports_count(desk: Desk) -> None:
    for number in (1, 2):
        desk.report(number, phase=AgentState.CONVERGED)
    assert "there is no list of machines" in desk.do("fleet allow")
    Path("machines").write_text(f"# rack 1\n{1:032x}  web1\n")
    assert "1 listed machine count" in desk.do("fleet allow machines")

    shown = desk.do("fleet status")

    assert "1 machine" in shown
    assert "1 report of machines that are not in the list of machines: web2" in shown
    Path("machines").write_text("web1\n")
    assert "line 1 does not begin with a machine-id" in desk.do("fleet allow machines", 1)
    assert "every report counts" in desk.do("fleet allow --everybody")
    assert "2 machines" in desk.do("fleet status")


def test_a_text_that_is_not_a_report_is_named_and_can_be_deleted(desk: Desk) -> None:
    desk.report(1, phase=AgentState.CONVERGED)
    asyncio.run(desk.database.put("status/odd", b'{"conditions": [{"code": 5}]}', expect=ANY))

    shown = desk.do("fleet status")

    assert "status/odd does not count: not a report of a machine: " in shown
    assert "report deleted" in desk.do("fleet forget status/odd")
    assert "does not count" not in desk.do("fleet status")
    assert "there is no report status/odd" in desk.do("fleet forget status/odd", 1)


def test_the_fleet_holds_machines_with_author_reason_and_end(desk: Desk) -> None:
    desk.report(3, hostname="web3", labels={"role": ("web",)}, phase=AgentState.CONVERGED)
    desk.report(4, hostname="db4", labels={"role": ("db",)}, phase=AgentState.CONVERGED)
    held = desk.do("fleet hold web3 --for 4h", 0, "--why", "its disk is replaced")
    assert "machine web3 is held by " in held
    assert " because: its disk is replaced; ends " in held
    desk.do("fleet hold --label role=db", 0, "--why", "a backup")

    shown = desk.do("fleet status")
    assert "machine web3 is held by " in shown
    assert "label role=db is held by " in shown
    reports = {report["hostname"]: report for report in json.loads(desk.do("fleet status --json"))}
    assert reports["web3"]["fleet_hold"]["why"] == "its disk is replaced"
    assert reports["db4"]["fleet_hold"]["until"] == ""
    assert desk.do("query machines held --count") == "2\n"

    assert "channel stable is not held; held are: machine web3, label role=db" in desk.do(
        "fleet follow --channel stable", 1
    )
    assert desk.do("fleet follow web3") == "machine web3: no longer held\n"
    assert desk.do("query machines held --count") == "1\n"
    assert [(c["action"], c["subjects"], bool(c["until"])) for c in json.loads(desk.do("query changes --json"))] == [
        ("hold", ["machine web3"], True),
        ("hold", ["label role=db"], False),
        ("follow", ["machine web3"], False),
    ]
    for words in (
        "fleet hold",
        "fleet hold web3 --channel stable",
        "fleet hold --label role",
        "fleet hold web3 --for x",
    ):
        desk.do(words, 2)


def test_a_rollout_does_not_wait_for_machines_that_are_held_and_stays_while_its_channel_is(desk: Desk) -> None:
    canary(desk)
    desk.do("release create documents --channel canary --key ops.key --output canary.json --stages 50%,100%")
    desk.do("release publish canary.json documents")
    at = {number: position(f"{number:032x}", "canary 2") for number in range(1, 20)}
    first, last = min(at, key=lambda n: at[n]), max(at, key=lambda n: at[n])
    old, new = (ReleaseReference(channel="canary", number=number) for number in (1, 2))
    desk.report(first, release=new, phase=AgentState.CONVERGED)
    desk.report(last, release=old, phase=AgentState.CONVERGED)
    desk.do("fleet hold --channel canary", 0, "--why", "no changes before the sale")

    for _ in range(2):
        text = desk.do("release rollout canary --once")
        assert "open to 50%" in text
        assert "channel canary is held by " in text
    desk.do("fleet follow --channel canary")
    desk.do(f"fleet hold web{last}")
    assert "open to 100%, 1 of 1 machines" in (text := desk.do("release rollout canary --once"))
    assert f"machine web{last} is held by " in text
    desk.do("release rollout canary")


def test_a_rollout_opens_its_stages_and_stops_itself(desk: Desk) -> None:
    desk.do("release keygen ops")
    words = "release create documents --key ops.key --output r.json --number 2 --stages 50%,100% --stop-at 10%"
    desk.do(words)
    desk.do("release publish r.json documents")
    for n in range(20):
        desk.report(n, phase=AgentState.CONVERGED, release=ReleaseReference(channel="stable", number=1))
    assert "open to 50%" in desk.do("release rollout stable --once")
    for n in range(20):
        desk.report(n, phase=AgentState.CONVERGED, release=ReleaseReference(channel="stable", number=2))
    assert "open to 100%" in desk.do("release rollout stable --once")
    for n in range(3):
        desk.report(n, phase=AgentState.ROLLED_BACK, release=ReleaseReference(channel="stable", number=2))

    assert "stopped: 3 of 20 machines" in desk.do("release rollout stable", 4)
    assert "stopped" in desk.do("release rollout stable --once", 4)
    assert "stopped" not in desk.do("release rollout stable --once --open 100%")
    assert "stopped: 3 of 20 machines rolled back: web0, web1, web2" in desk.do("release rollout stable --once", 4)
    assert "stopped: 2 of 19" in desk.do("release rollout stable --once --ignore web0", 4)
    assert "1 rolled back; ignored: web0, web1" in desk.do("release rollout stable --ignore web1")
    assert "no machine that counts is called web77" in desk.do("release rollout stable --ignore web77", 1)
    assert "stopped: enough" in desk.do("release rollout stable --once --stop enough", 4)


def test_the_environment_names_the_store_of_every_command(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORDAIN_STORE", str(tmp_path / "other"))
    monkeypatch.setenv("ORDAIN_PASSWORD_FILE", "/nowhere")
    for folder in ("other", "empty"):
        (tmp_path / folder).mkdir()
    document = tmp_path / "a.yaml"
    document.write_text("ordain: v1\nkind: Layer\nname: a\n")

    assert main(["documents", "put", str(document)], root=desk.root) == 0
    capsys.readouterr()
    assert main(["documents", "list"], root=desk.root) == 0
    assert "a" in capsys.readouterr().out.split()
    assert main(["documents", "list", "--store", str(tmp_path / "empty")], root=desk.root) == 0
    assert "there are no documents" in capsys.readouterr().out


def test_a_machine_of_a_boot_server_has_no_store(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    settings = desk.root / "etc/ordain/agent.yaml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text("source: {type: http, url: 'http://boot.example/{mac}.yaml'}\n")

    for command, reason in {
        "documents list": "change the files that it serves, there; `ordainctl match` lists the layers of this machine",
        "fleet status": "to which no machine reports: ask each machine (`ordainctl status`)",
        "release list": "a release is a file in the directory that it serves",
        "secret list": "the boot server http://boot.example/{mac}.yaml, which is not a store",
    }.items():
        assert main(command.split(), root=desk.root) == 2
        said = capsys.readouterr().err
        assert reason in " ".join(said.split())
        assert "--store URL" in said


def test_the_url_of_a_boot_server_is_not_taken_for_a_store(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "status", "--store", "https://db.example:2379/x"], root=desk.root) == 2

    assert "write etcd+https://db.example:2379/x or couchdb+https://" in " ".join(capsys.readouterr().err.split())


def test_a_directory_of_files_that_is_named_as_a_store_is_told(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/a.yaml").write_text("ordain: v1\nkind: Layer\nname: a\n")

    assert main(["documents", "list", "--store", str(tmp_path / "files")], root=desk.root) == 0

    said = capsys.readouterr()
    assert "there are no documents" in said.out
    assert "has files with documents but is not a store" in " ".join(said.err.split())


def test_a_store_in_a_directory_has_a_path_below_the_current_one(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "files").mkdir()
    monkeypatch.chdir(tmp_path)

    assert main(["documents", "list", "--store", "files"], root=desk.root) == 0
    assert "there are no documents" in capsys.readouterr().out
    assert main(["documents", "list", "--store", "other"], root=desk.root) == 2
    assert "or a directory with its whole path" in " ".join(capsys.readouterr().err.split())


def test_commands_need_the_url_of_a_store(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "status"], root=desk.root) == 2
    assert "--store URL (or $ORDAIN_STORE) is missing" in capsys.readouterr().err
    assert main(["fleet", "status", "--store", "ftp://x"], root=desk.root) == 2
    assert "--store" in capsys.readouterr().err
