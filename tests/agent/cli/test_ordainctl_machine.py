"""ordainctl on a machine: its reports on generations, units, values and on Ordain itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ordain.agent.apply.deviations.administrator_overrides import override_files
from ordain.agent.cli.machine.doctor import (
    CHECKS,
    UNITS,
    CheckResult,
    attempts,
    caches,
    disk,
    documents,
    generator,
    last_run,
    units,
    writers,
)
from ordain.agent.cli.main import main
from ordain.agent.condition import StatusCondition
from ordain.agent.instruction import Expiry, Instruction
from ordain.agent.model import (
    ChangeCause,
    ChangedDocument,
    ChangeOrigin,
    FileAction,
    FileChange,
    Generation,
    Job,
    Outcome,
    Plan,
    Verb,
)
from ordain.agent.plan.explain import OverrideFile
from ordain.agent.state.history_events import record_instruction
from ordain.agent.state.store import Store
from ordain.agent.status import Status
from ordain.transforms.artifacts import UnitFile, UnitLink
from ordain.transforms.model import Member, Wanted
from ordain.transforms.systemd.unit_file import Setting, write

BOOT_ID = "11111111-2222-3333-4444-555555555555"
MACHINE_ID = "0123456789abcdef0123456789abcdef"
WEB_YAML = """\
ordain: v1
kind: Layer
name: web
services:
  web:
    command: /usr/bin/web
    limits: {memory: 2G}
"""


def generation(memory: str) -> Generation:
    """Return a generation of one service, whose memory limit in web.yaml overrides that in base.yaml."""
    web = write(
        [
            Setting(section="Unit", key="Description", value="web", comment="default: a name to show"),
            Setting(
                section="Service",
                key="ExecStart",
                value="/usr/bin/web",
                comment="web.yaml:6:5 web services/web/command",
            ),
            Setting(
                section="Service", key="MemoryMax", value=memory, comment="web.yaml:7:14 web services/web/limits/memory"
            ),
        ]
    )
    place = {"path": "web.yaml", "layer": "web"}
    base = {"path": "base.yaml", "layer": "base", "line": 9, "value": "1G"}
    return Generation(
        hash=f"hash{memory}",
        artifacts=(
            UnitLink(
                path="normal/ordain-services.target.wants/web.service", target="../web.service", item="services/web"
            ),
            UnitFile(path="normal/web.service", content=web, item="services/web"),
        ),
        members=(Member(unit="web.service", item="services/web", wanted=Wanted.RUNNING, ours=True),),
        document={"services": {"web": {"command": [["/usr/bin/web"]], "limits": {"memory": memory}}}},
        provenance={
            "services/web/command": {**place, "line": 6, "overrode": []},
            "services/web/limits/memory": {**place, "line": 7, "overrode": [base]},
        },
    )


@dataclass(frozen=True)
class Box:
    """A machine's file system, and the output of ordainctl on it."""

    root: Path
    capsys: pytest.CaptureFixture[str]

    def put(self, path: str, text: str = "", *, mode: int = 0o644) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file

    def run(self, *words: str, status: int = 0) -> str:
        self.capsys.readouterr()
        assert main(words, root=self.root) == status
        said = self.capsys.readouterr()
        return said.out + said.err

    def apply(self, *generations: Generation) -> None:
        store = Store(self.root)
        for each in generations:
            saved, _ = store.save(with_digest(each))
            store.commit_proven(saved)

    def generate(self) -> None:
        """Run the generator, as a reload of the manager does."""
        directories = [
            str(self.root / "run/systemd" / name) for name in ("generator", "generator.early", "generator.late")
        ]
        for directory in directories:
            Path(directory).mkdir(parents=True, exist_ok=True)
        code = "import sys; from ordain.generator.main import main; sys.exit(main(sys.argv))"
        subprocess.run([sys.executable, "-c", code, f"--root={self.root}", *directories], check=False)


def with_digest(made: Generation) -> Generation:
    from ordain.agent.generation import digest

    return replace(made, hash=digest(made.document, made.artifacts, made.members))


@pytest.fixture
def box(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Box:
    made = Box(tmp_path, capsys)
    made.put("etc/os-release", "ID=debian\nVERSION_ID=13\n")
    made.put("etc/machine-id", f"{MACHINE_ID}\n")
    made.put("proc/sys/kernel/random/boot_id", f"{BOOT_ID}\n")
    made.put("proc/cmdline", "quiet\n")
    made.put("etc/ordain/documents/web.yaml", WEB_YAML)
    for name in ("var/lib", "run"):
        (tmp_path / name).mkdir(parents=True)
    return made


# Generations


def test_commands_report_that_nothing_has_been_applied_yet(box: Box) -> None:
    for words in (["show"], ["explain", "web.service"]):
        assert "no generation has been applied on this machine yet" in box.run(*words, status=1)
    assert box.run("history") == "no generation has been applied yet\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
@pytest.mark.parametrize("words", [["history"], ["show"], ["explain", "web"], ["diff", "1", "2"], ["validate"]])
def test_a_user_who_may_not_read_the_state_is_not_told_that_there_is_none(box: Box, words: list[str]) -> None:
    box.apply(generation("1G"), generation("2G"))
    box.put("etc/ordain/documents/a.yaml")
    for folder in ("etc/ordain/documents", "etc/ordain/boot", "var/lib/ordain"):
        (box.root / folder).chmod(0o700)
    above = [path for path in (box.root, *box.root.parents) if not path.stat().st_mode & 0o001]
    modes = {path: path.stat().st_mode for path in above}
    try:
        for path in above:
            path.chmod(modes[path] | 0o055)
        os.seteuid(65534)
        said = box.run(*words, status=1)
    finally:
        os.seteuid(0)
        for path, mode in modes.items():
            path.chmod(mode)

    assert "Permission denied" in said
    assert "run it as root" in said


def test_history_lists_generations_oldest_first_and_reports_damage(box: Box) -> None:
    box.apply(generation("1G"), generation("2G"))
    (box.root / "var/lib/ordain/generations/1/manifest.json").write_text("{}")

    lines = box.run("history").splitlines()
    assert [line.split()[0] for line in lines] == ["NUMBER", "1", "2"]
    assert "generation 1 in" in lines[1]
    assert [entry["number"] for entry in json.loads(box.run("history", "--json"))] == [1, 2]


def test_history_shows_what_each_apply_did_and_a_rollback_as_an_event(box: Box) -> None:
    box.apply(generation("1G"), generation("2G"), generation("3G"))
    store = Store(box.root)
    start = (Job(unit="web.service", verb=Verb.START, reason="new"),)
    one = replace(outcome(1, "2026-11-28T12:00:00+00:00"), plan=Plan(from_hash="", to_hash="1", jobs=start))
    place = (
        FileChange(path="/etc/motd", what=FileAction.NEW),
        FileChange(path="/etc/issue", what=FileAction.REMOVED),
        FileChange(path="/run/x", what=FileAction.REMOVED),
    )
    who = ChangeOrigin(
        cause=ChangeCause.DOCUMENTS,
        documents=(ChangedDocument(path="/etc/ordain/documents/web.yaml", owner="alice"), ChangedDocument(path="x")),
    )
    two = replace(outcome(2, "2026-11-28T12:01:00+00:00"), plan=Plan(files=place), origin=who)
    bad = replace(outcome(2, "2026-11-28T12:02:00+00:00"), rejected=3, why="web.service failed", exit_status=4)
    back = replace(outcome(1, "2026-11-28T12:03:00+00:00"), origin=ChangeOrigin(cause=ChangeCause.ROLLBACK, by="bert"))
    for number in (1, 2, 3):
        manifest = box.root / f"var/lib/ordain/generations/{number}/manifest.json"
        manifest.write_text(re.sub(r'"saved": "[^"]*"', '"saved": "2026-11-28T12:00:00Z"', manifest.read_text()))
    for ended in (one, two, bad, back):
        store.save_outcome(ended)

    rows = [line.split(maxsplit=5) for line in box.run("history").splitlines()][1:]
    assert [row[0] for row in rows] == ["1", "2", "3", "1"]
    assert [row[2] for row in rows] == ["2026-11-28"] * 4
    lines = box.run("history").splitlines()[1:]
    assert lines[0].endswith("  start web.service")
    assert lines[1].endswith("  place /etc/motd, restore /etc/issue, remove /run/x; from web.yaml (alice)")
    assert lines[2].endswith("  no jobs; failed and rolled back to 2: web.service failed")
    assert lines[3].endswith("  rolled back to 1: no jobs")
    assert " bert " in lines[3]
    printed = json.loads(box.run("history", "--json"))
    assert [(row["number"], row["event"]["rejected"]) for row in printed] == [(1, 0), (2, 0), (3, 3), (1, 0)]


def test_history_shows_holds_and_pauses_with_author_reason_and_end(box: Box) -> None:
    box.apply(generation("1G"))
    box.generate()
    given = Instruction(
        by="alice",
        why="new disk",
        end=Expiry(until="2026-11-30T08:00:00+00:00", left_sec=1, at_sec=1, boot="1", synchronized=True),
    )
    record_instruction(box.root, ChangeCause.HOLD, given, 1, subject="web.service")
    record_instruction(box.root, ChangeCause.PAUSE, replace(given, end=None), 1)
    record_instruction(box.root, ChangeCause.FOLLOW, Instruction(by="bert"), 1, subject="source")
    record_instruction(box.root, ChangeCause.FOLLOW, Instruction(why="its time was over"), 1, subject="web.service")

    lines = box.run("history").splitlines()[1:]
    assert "in force" in lines[0]
    assert [line.rstrip().rpartition("  ")[2] for line in lines[1:]] == [
        "held web.service until Mon 2026-11-30 08:00:00 UTC; because: new disk",
        "paused; because: new disk",
        "ended the pause",
        "ended the hold of web.service; because: its time was over",
    ]
    assert [by for line in lines[1:] for by in ("alice", "bert") if f" {by} " in line] == ["alice", "alice", "bert"]


def outcome(number: int, started: str) -> Outcome:
    return Outcome(generation=number, hash=str(number), plan=Plan(), started=started)


def test_diff_of_two_generations_shows_changed_settings_with_their_place(box: Box) -> None:
    box.apply(generation("1G"), generation("2G"))

    assert box.run("diff", "1", "2") == (
        "web.service\n  [Service] MemoryMax: 1G → 2G  (web.yaml:7 services/web/limits/memory)\n"
    )
    assert box.run("diff", "1") == box.run("diff", "1", "2")
    assert box.run("diff", "1", "--exit-code", status=7)
    assert box.run("diff", "2", "2", "--exit-code") == ""
    assert [change["key"] for change in json.loads(box.run("diff", "1", "2", "--json"))] == ["MemoryMax"]


@pytest.mark.parametrize(
    ("word", "status", "message"),
    [("9", 1, "there is no generation 9"), ("x", 2, "'x' is not the number of a generation")],
)
def test_diff_of_an_unknown_generation_is_refused(word: str, status: int, message: str, box: Box) -> None:
    box.apply(generation("1G"))

    assert message in box.run("diff", word, status=status)


# The place of units, files and values in the documents


@pytest.mark.parametrize("subject", ["db", "db.service", "services/db", "services/db/command"])
def test_explain_shows_a_blocked_service_as_blocked(subject: str, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = StatusCondition(code="X", what="db is missing", item="services/db", fault=True)
    monkeypatch.setattr("ordain.agent.cli.machine.explain.ask", lambda *_: Status(conditions=(blocked,)))
    box.apply(generation("1G"))

    assert "db.service is in the documents, but blocked: services/db: db is missing" in box.run(
        "explain", subject, status=3
    )
    assert "db.service is in the documents, but blocked" in box.run("show")


@pytest.mark.parametrize(
    ("sections", "status", "said"),
    [
        ("services: {web: {command: /bin/web}}", 0, "/etc/systemd/system/web.service replaces the unit"),
        ("services: {db: {command: /bin/db, user: ghost}}", 0, "there is no user ghost on this machine"),
        ("services: {db: {unit: db.service, state: running}}", 3, "db.service is not installed"),
        ("users: {web: {uid: 33}}", 3, "the uid 33 belongs to www-data"),
        ("host: {timezone: Europe/Berlyn}", 0, "there is no time zone Europe/Berlyn"),
        ("services: {db: {commmand: /bin/db}}", 1, "unknown key"),
    ],
)
def test_validate_reports_what_this_machine_cannot_have(box: Box, sections: str, status: int, said: str) -> None:
    box.put("etc/passwd", "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/:/bin/sh\n")
    box.put("etc/group", "root:x:0:\n")
    box.put("usr/share/zoneinfo/Europe/Berlin")
    box.put("etc/systemd/system/web.service", "[Service]\nExecStart=/bin/other\n")
    for program in ("web", "db"):
        box.put(f"bin/{program}", mode=0o755)
    document = box.put("a.yaml", f"ordain: v1\nkind: Layer\nname: a\n{sections}\n")

    box.run("validate", str(document), status=1 if status == 1 else 0)
    assert said in box.run("validate", "--this-machine", str(document), status=status)


def test_show_prints_the_resolved_document(box: Box) -> None:
    box.apply(generation("2G"))

    assert box.run("show") == ("services:\n  web:\n    command:\n    - - /usr/bin/web\n    limits:\n      memory: 2G\n")
    assert json.loads(box.run("show", "--json"))["document"]["services"]["web"]["limits"] == {"memory": "2G"}


def test_the_generation_in_force_is_the_one_of_this_boot(box: Box) -> None:
    box.apply(generation("1G"), generation("2G"))
    box.put("proc/cmdline", "ordain.boot=1\n")
    box.generate()

    assert "memory: 1G" in box.run("show")


def test_show_provenance_has_a_line_for_each_value(box: Box) -> None:
    box.apply(generation("2G"))

    lines = box.run("show", "--provenance").splitlines()
    assert lines == [
        "KEY                         SET BY              VALUE",
        'services/web/command        web.yaml:6 (web)    [["/usr/bin/web"]]',
        "services/web/limits/memory  web.yaml:7 (web)    2G",
        "  overrides                 base.yaml:9 (base)  1G",
    ]


def test_explain_shows_the_place_of_each_line_of_a_unit_and_the_files_that_override_it(box: Box) -> None:
    box.apply(generation("2G"))
    box.put("etc/systemd/system/web.service.d/10-more.conf", "[Service]\nMemoryMax=8G\nNice=3\n")

    said = box.run("explain", "web")
    assert "generation 1, from services/web, wanted running" in said
    assert "  [Service]\n  ExecStart=/usr/bin/web  web.yaml:6 (web)  services/web/command\n" in said
    assert "  MemoryMax=2G            web.yaml:7 (web)  services/web/limits/memory\n" in said
    assert "  Description=web         a name to show\n" in said
    assert "/etc/systemd/system/web.service.d/10-more.conf: drop-in" in said
    assert "[Service] MemoryMax=8G  (ours: 2G)" in said
    assert "[Service] Nice=3\n" in said
    found = json.loads(box.run("explain", "--json", "web.service"))
    assert found["changed"] == {"[Service] MemoryMax": "2G"}


def test_override_files_are_listed_in_the_order_that_systemd_reads_them(box: Box) -> None:
    unit = "[Unit]\nDescription=the distribution's\n[Service]\nExecStart=/bin/a\n"
    box.put("usr/lib/systemd/system/web.service", unit)
    box.put("etc/systemd/system/web.service.d/20-b.conf", "[Service]\nNice=2\n")
    box.put("run/systemd/system/web.service.d/10-a.conf", "[Service]\nNice=1\n")
    box.put("run/systemd/system.control/web.service.d/50-MemoryMax.conf", "[Service]\nMemoryMax=9G\n")

    found = override_files(box.root, "web.service", ours=False)
    assert [(hand.path, hand.replaces) for hand in found] == [
        ("/usr/lib/systemd/system/web.service", False),
        ("/run/systemd/system/web.service.d/10-a.conf", False),
        ("/etc/systemd/system/web.service.d/20-b.conf", False),
        ("/run/systemd/system.control/web.service.d/50-MemoryMax.conf", False),
    ]
    assert found[3].assignments == (("Service", "MemoryMax", "9G"),)
    # A file in /usr is overridden by the unit of the generator, and a file in /etc overrides it.
    assert override_files(box.root, "web.service", ours=True) == found[1:]
    box.put("etc/systemd/system/web.service", unit)
    assert override_files(box.root, "web.service", ours=True)[0] == OverrideFile(
        path="/etc/systemd/system/web.service", replaces=True
    )


def test_explain_reports_a_mask(box: Box) -> None:
    box.apply(generation("2G"))
    (box.root / "etc/systemd/system").mkdir(parents=True)
    (box.root / "etc/systemd/system/web.service").symlink_to("/dev/null")

    assert "/etc/systemd/system/web.service: masks the unit" in box.run("explain", "web.service")


@pytest.mark.parametrize("words", ["services/web/limits/memory", "services/web/limits"])
def test_explain_shows_the_lines_that_a_value_results_in(words: str, box: Box) -> None:
    box.apply(generation("2G"))

    said = box.run("explain", words)
    assert "web.yaml:7 (web)" in said
    assert "  overrides                 base.yaml:9 (base)  1G" in said
    assert "  [Service]\n  MemoryMax=2G" in said
    assert "ExecStart" not in said


def test_explain_accepts_the_path_of_a_generated_unit(box: Box) -> None:
    box.apply(generation("2G"))

    said = box.run("explain", "/run/systemd/generator/web.service")
    assert "  ExecStart=/usr/bin/web  web.yaml:6 (web)  services/web/command" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("wev.service", "no document mentions wev.service; did you mean web.service?"),
        ("services/web/limits/memroy", "nothing is set at services/web/limits/memroy; did you mean memory?"),
        ("/etc/fstab", "/etc/fstab is not placed by generation 1"),
    ],
)
def test_explain_suggests_near_names_for_an_unknown_subject(words: str, message: str, box: Box) -> None:
    box.apply(generation("2G"))

    assert message in box.run("explain", words, status=1)


# Doctor


def rows(check: object, root: Path) -> list[tuple[str, CheckResult, str]]:
    assert check in CHECKS
    return [(row.about, row.verdict, f"{row.what}; {row.hint}") for row in check(root)]


def one(check: object, root: Path) -> tuple[CheckResult, str]:
    ((_, verdict, text),) = rows(check, root)
    return verdict, text


def test_the_last_run_of_the_generator_is_reported(box: Box) -> None:
    assert one(last_run, box.root)[0] is CheckResult.FAILED

    box.generate()
    reported = [(verdict, text) for _, verdict, text in rows(last_run, box.root)]
    assert reported[-1] == (CheckResult.WARNING, "there was no generation to place; run ordainctl apply")
    assert all("the documents wait for the agent" in text for _, text in reported[:-1])

    box.apply(generation("2G"))
    box.generate()
    verdict, text = one(last_run, box.root)
    assert verdict is CheckResult.OK
    assert text.startswith("generation 1 from current: 2 files and links in ")

    box.put("proc/cmdline", "quiet ordain=off\n")
    box.generate()
    assert one(last_run, box.root)[0] is CheckResult.WARNING

    box.put("proc/sys/kernel/random/boot_id", "another\n")
    assert one(last_run, box.root)[0] is CheckResult.FAILED


def test_boot_caches_are_checked_as_the_generator_checks_them(box: Box) -> None:
    assert one(caches, box.root)[0] is CheckResult.WARNING

    box.apply(generation("2G"))
    assert one(caches, box.root) == (CheckResult.OK, "generation 1, 2 files; ")
    cache = box.root / "etc/ordain/boot/current"

    cache.chmod(0o666)
    assert "writable by users other than root" in one(caches, box.root)[1]
    cache.chmod(0o644)

    box.put("etc/machine-id", "f" * 32)
    assert "[ForeignCache]" in one(caches, box.root)[1]

    cache.write_bytes(cache.read_bytes()[:-1])
    verdict, text = one(caches, box.root)
    assert verdict is CheckResult.FAILED
    assert "DamagedCache" in text


def test_the_generator_must_be_installed_compiled_and_not_masked(box: Box) -> None:
    assert one(generator, box.root)[0] is CheckResult.FAILED

    program = 'import sys\nsys.path.insert(0, "/usr/lib/ordain/1")\n'
    box.put("usr/lib/systemd/system-generators/ordain-generator", program, mode=0o755)
    assert "cannot find its modules" in one(generator, box.root)[1]

    modules = [box.put(f"usr/lib/ordain/1/ordain/generator/{name}.py", "pass\n") for name in ("main", "cache", "place")]
    verdict, text = one(generator, box.root)
    assert verdict is CheckResult.WARNING
    assert "cache.py, main.py, place.py not compiled" in text

    subprocess.run([sys.executable, "-m", "compileall", "-q", *map(str, modules)], check=True)
    assert one(generator, box.root)[0] is CheckResult.OK

    modules[0].write_text("pass  # newer\n")
    assert "main.py not compiled" in one(generator, box.root)[1]

    box.put("etc/systemd/system-generators/ordain-generator")
    assert "overrides it, so no units are placed" in one(generator, box.root)[1]


def test_static_units_must_be_installed_and_not_masked(box: Box) -> None:
    assert all(verdict is CheckResult.FAILED for _, verdict, _ in rows(units, box.root))

    shipped = sorted((Path(__file__).parents[3] / "units").glob("*"))
    if not shipped:
        pytest.skip("no source tree here")
    assert [path.name for path in shipped] == list(UNITS)
    for path in shipped:
        box.put(f"usr/lib/systemd/system/{path.name}", path.read_text())
    assert one(units, box.root)[0] is CheckResult.OK

    (box.root / "etc/systemd/system").mkdir(parents=True)
    (box.root / "etc/systemd/system/ordain-agent.service").symlink_to("/dev/null")
    assert one(units, box.root) == (
        CheckResult.WARNING,
        "ordain-agent.service is masked; run systemctl unmask ordain-agent.service",
    )


def test_invalid_deleted_and_missing_documents_are_reported_differently(box: Box) -> None:
    def about_documents() -> tuple[str, CheckResult, str]:
        return rows(documents, box.root)[0]

    assert about_documents()[:2] == ("documents", CheckResult.OK)

    web = box.put("etc/ordain/documents/web.yaml", WEB_YAML.replace("command", "comand"))
    assert about_documents() == (
        "documents",
        CheckResult.FAILED,
        "1 error; run ordainctl validate /etc/ordain/documents",
    )

    web.unlink()
    assert about_documents()[:2] == ("documents", CheckResult.WARNING)

    web.parent.rmdir()
    assert about_documents()[:2] == ("source", CheckResult.FAILED)

    box.put("etc/ordain/agent.yaml", "sorce: {}\n")
    assert about_documents()[:2] == ("settings", CheckResult.FAILED)


def test_boots_that_did_not_complete_are_counted(box: Box) -> None:
    assert one(attempts, box.root)[0] is CheckResult.OK

    box.put("etc/ordain/boot/attempts", "hash one\nhash two\n")
    assert one(attempts, box.root)[1].startswith("2 boots with generation hash did not complete")


@pytest.mark.parametrize("place", ["etc/ordain/documents/web.yaml", "etc/ordain/trust/a.pub", "etc/ordain/documents"])
def test_a_path_that_others_could_write_and_that_decides_for_root_is_reported(box: Box, place: str) -> None:
    box.put("etc/ordain/trust/a.pub", "")
    assert one(writers, box.root)[0] is CheckResult.OK

    (box.root / place).chmod(0o777)

    verdict, what = one(writers, box.root)
    assert verdict is CheckResult.FAILED
    assert what == f"/{place}: every user may write it; chown root:root /{place}; chmod go-w /{place}"


def test_the_disks_have_room(box: Box) -> None:
    assert [(about, verdict) for about, verdict, _ in rows(disk, box.root)] == [
        ("/etc", CheckResult.OK),
        ("/var/lib", CheckResult.OK),
        ("/run", CheckResult.OK),
    ]


def test_history_reads_one_file_of_each_generation(box: Box) -> None:
    box.apply(generation("1G"), generation("2G"))
    for folder in (box.root / "var/lib/ordain/generations").iterdir():
        shutil.rmtree(folder / "artifacts")
        (folder / "document.json").unlink()

    assert [line.split()[0] for line in box.run("history").splitlines()] == ["NUMBER", "1", "2"]


def test_doctor_names_a_damaged_generation_of_the_history(box: Box) -> None:
    box.apply(generation("64M"))
    assert "1 generation to roll back to" in box.run("doctor", status=1)

    (box.root / "var/lib/ordain/generations/1/document.json").write_text("{}")

    said = " ".join(box.run("doctor", status=1).split())
    assert "history failed generation 1 in" in said
    assert "its content does not match its hash" in said


def test_doctor_fails_if_a_check_fails_also_as_json(box: Box) -> None:
    said = box.run("doctor", status=1)
    assert "generator" in said

    found = json.loads(box.run("doctor", "--json", status=1))
    assert {"about", "verdict", "what", "hint"} == set(found[0])
