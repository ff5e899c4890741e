"""ordainctl and an agent: the request, the output and the exit status. The agent is a fake."""

from __future__ import annotations

import asyncio
import fcntl
import io
import json
import os
from argparse import Namespace
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from ordain.agent.cli.console import Console
from ordain.agent.cli.machine import apply, ask_agent, status
from ordain.agent.cli.main import main
from ordain.agent.condition import StatusCondition
from ordain.agent.daemon.clients.client import Documents
from ordain.agent.errors import Busy, Denied, Failure, Unavailable
from ordain.agent.generation import digest
from ordain.agent.instruction import NO_TERMS, Expiry, Instruction, Terms
from ordain.agent.model import Change, Effect, Generation, Hold, Job, Note, Outcome, Plan, UnitVerdict, Verb
from ordain.agent.state.store import Store
from ordain.agent.status import AgentState, SourceState, Status, UnitStatus
from ordain.agent.system.apply_lock import PATH as LOCK
from ordain.transforms.errors import Problem, Refused, Where

CHANGE = Change(unit="web.service", section="Service", key="MemoryMax", old=("1G",), new=("2G",), effect=Effect.MANAGER)
PLAN = Plan(
    reload=True,
    stops=(Job(unit="old.service", verb=Verb.STOP, reason="no document mentions it any more"),),
    jobs=(Job(unit="new.service", verb=Verb.START, reason="new"),),
    changes=(CHANGE,),
    notes=(Note(unit="held.service", what="masked by an administrator"),),
)
LEFT = StatusCondition(
    code="KernelParameter", what="there is no kernel parameter net.nope", hint="check the spelling", fault=True
)
PAUSE = Instruction(
    end=Expiry(until="2026-11-30T08:00:00+00:00", left_sec=4 * 3600, at_sec=5, boot="1", synchronized=False)
)
STATUS = Status(
    state=AgentState.CONVERGED,
    agent=True,
    generation=7,
    hash="c0ffee" * 4,
    wanted_generation=7,
    wanted_hash="c0ffee" * 4,
    source=SourceState(location="/etc/ordain/documents", connected=True),
    units=(
        UnitStatus(
            unit="web.service", item="services/web", wanted="running", load_state="loaded", active_state="active",
            sub_state="running", ok=True,
        ),
        UnitStatus(
            unit="held.service", item="services/held", wanted="running", load_state="masked", active_state="inactive",
            sub_state="dead", ok=False, what="masked by an administrator", n_restarts=2,
        ),
    ),
    taken_over_by="agent",
)  # fmt: skip


@dataclass
class Agent:
    """A fake agent that gives a prepared answer, and records the requests."""

    answer: Any = None
    asked: list[Any] = field(default_factory=list)
    agent = True

    def _answer(self, *asked: Any) -> Any:
        self.asked.append(asked)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def plan(self, documents: Documents | None = None) -> Plan:
        planned = self._answer("plan", documents)
        return planned.plan if isinstance(planned, Outcome) else planned

    async def apply(
        self, documents: Documents | None = None, *, once: bool = False, confirm_sec: int = 0, nothing: bool = False
    ) -> Outcome:
        asked = ("apply", documents, once, *([confirm_sec] if confirm_sec else []), *(["nothing"] if nothing else []))
        return self._answer(*asked)  # type: ignore[no-any-return]

    async def confirm(self) -> int:
        return self._answer("confirm")  # type: ignore[no-any-return]

    async def rollback(self, number: int = 0, *, why: str = "") -> Outcome:
        return self._answer("rollback", number, *([why] if why else []))  # type: ignore[no-any-return]

    async def hold(self, unit: str, *, unmask: bool = False, terms: Terms = NO_TERMS) -> Hold:
        return self._answer("hold", unit, unmask, terms)  # type: ignore[no-any-return]

    async def status(self) -> Status:
        return self._answer("status")  # type: ignore[no-any-return]

    async def explain(self, about: str) -> Mapping[str, Any]:
        return self._answer("explain", about)  # type: ignore[no-any-return]

    async def watch(self) -> AsyncIterator[Status]:
        for now in self._answer("watch"):
            yield now

    async def pause(self, terms: Terms = NO_TERMS) -> Instruction:
        self._answer("pause", *([terms] if terms else []))
        return PAUSE if terms else Instruction()

    async def resume(self) -> None:
        self._answer("resume")

    async def follow(self) -> None:
        self._answer("follow")

    async def follow_unit(self, unit: str) -> Outcome | None:
        return self._answer("follow_unit", unit)  # type: ignore[no-any-return]


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Agent:
    """Return the fake agent that `connect` yields."""
    made = Agent()

    @asynccontextmanager
    async def connect(root: Path) -> AsyncIterator[Agent]:
        yield made

    for module in (ask_agent, status):
        monkeypatch.setattr(module, "connect", connect)
    return made


def test_a_plan_is_shown_in_the_order_of_its_steps(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answer = PLAN

    assert main(["plan"]) == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines() if line] == [
        ["stop", "old.service"],
        ["manager", "reloads"],
        ["web.service", "[Service]"],
        ["start", "new.service"],
        ["Left", "alone:"],
        ["held.service", "masked"],
    ]
    assert agent.asked == [("plan", None)]


def test_steps_of_a_plan_are_coloured_and_wrapped_within_their_column(agent: Agent) -> None:
    agent.answer = Plan(jobs=(Job(unit="web.service", verb=Verb.START, reason="it is new in the documents"),))
    out = io.StringIO()
    console = Console(out=out, err=io.StringIO(), out_colour=True, out_columns=46)

    apply.plan(Namespace(root=Path("/"), file=[], json=False, exit_code=False), console)
    assert out.getvalue() == (
        "\x1b[32mstart   web.service\x1b[0m  \x1b[32mit is new in the\x1b[0m\n"
        "                     \x1b[32mdocuments\x1b[0m\n"
    )


@pytest.mark.parametrize(
    ("words", "plan", "status"),
    [(["plan"], PLAN, 0), (["plan", "--exit-code"], PLAN, 7), (["plan", "--exit-code"], Plan(), 0)],
)
def test_the_exit_status_of_plan_shows_a_script_that_there_are_changes(
    words: list[str], plan: Plan, status: int, agent: Agent
) -> None:
    agent.answer = plan

    assert main(words) == status


def test_files_are_sent_to_the_agent_with_their_names(agent: Agent, tmp_path: Path) -> None:
    agent.answer = Plan()
    (tmp_path / "b.yaml").write_bytes(b"b")
    (tmp_path / "a.json").write_bytes(b"a")

    assert main(["plan", str(tmp_path), str(tmp_path / "b.yaml")]) == 0
    ((_, documents),) = agent.asked
    assert [(Path(path).name, data) for path, data in documents] == [
        ("a.json", b"a"),
        ("b.yaml", b"b"),
        ("b.yaml", b"b"),
    ]


def test_a_missing_file_is_an_error_before_the_agent_is_asked(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apply", "/nowhere.yaml"]) == 1
    assert "/nowhere.yaml: error: No such file or directory" in capsys.readouterr().err
    assert agent.asked == []


@pytest.mark.parametrize(
    ("outcome", "status", "message"),
    [
        (Outcome(generation=8, hash="h", plan=PLAN), 0, "generation 8: applied\n"),
        (Outcome(generation=8, hash="h", plan=Plan()), 0, "Nothing to do.\n"),
        (
            Outcome(
                generation=8, hash="h", plan=PLAN, exit_status=3,
                verdicts=(UnitVerdict(unit="new.service", ok=False, what="failed: exit-code"),),
            ),
            3,
            "new.service  failed  failed: exit-code\ngeneration 8: applied, but something is degraded\n",
        ),
        (Outcome(generation=8, hash="h", plan=PLAN, persistent=False), 0, "[NotPersistent]"),
        (
            Outcome(generation=8, hash="h", plan=PLAN, exit_status=3, left=(LEFT,)),
            3,
            "there is no kernel parameter net.nope (check the spelling) [KernelParameter]\n"
            "generation 8: applied, but something is degraded\n",
        ),
        (
            Outcome(generation=8, hash="h", plan=Plan(), exit_status=3, left=(LEFT,)),
            3,
            "[KernelParameter]\ngeneration 8: in force, but something is degraded\n",
        ),
    ],
    ids=["done", "nothing to do", "degraded", "for this boot", "a difference is left", "nothing to do, but different"],
)  # fmt: skip
def test_apply_reports_its_result(
    outcome: Outcome, status: int, message: str, agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.answer = outcome

    assert main(["apply", "--once"]) == status
    said = capsys.readouterr()
    assert message in said.out + said.err
    assert agent.asked == [("apply", None, True)]
    assert main(["apply", "--json"]) == status
    assert json.loads(capsys.readouterr().out)["generation"] == 8


def test_nothing_is_passed_on(agent: Agent, tmp_path: Path) -> None:
    agent.answer = Outcome(generation=8, hash="abc", plan=PLAN)
    file = tmp_path / "empty.yaml"
    file.write_text("")

    assert main(["apply", "--nothing", str(file)]) == 0
    assert agent.asked == [("apply", ((str(file), b""),), False, "nothing")]


REMOVAL = replace(
    PLAN, stops=(replace(PLAN.stops[0], item="services/old"),), removed=("files/~1etc~1x", "services/old")
)


def one_document(tmp_path: Path) -> str:
    file = tmp_path / "web.yaml"
    file.write_text("ordain: v1\nkind: Layer\nname: web\nservices: {web: {command: /bin/web}}\n")
    return str(file)


def test_apply_of_a_file_that_removes_entries_names_what_stops_and_needs_a_flag(
    agent: Agent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.answer = Outcome(generation=8, hash="abc", plan=REMOVAL)
    file = one_document(tmp_path)

    assert main(["apply", file]) == 1
    said = capsys.readouterr().err
    assert "  files /etc/x\n  services/old: stops old.service\n" in said
    assert f"nothing was changed; to remove them, run `ordainctl apply --remove {file}`" in said
    assert [call for call, *_ in agent.asked] == ["plan"]
    assert main(["apply", "--once", "--json", file]) == 1
    assert main(["apply", "--remove", file]) == 0
    assert [call for call, *_ in agent.asked] == ["plan", "plan", "apply"]


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("YES\n", 0), ("\n", 1), ("n\n", 1), ("", 1)])
def test_apply_asks_on_a_terminal_before_it_removes_entries(
    answer: str, status: int, agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent.answer = Outcome(generation=8, hash="abc", plan=REMOVAL)
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)

    assert main(["apply", one_document(tmp_path)]) == status
    assert [call for call, *_ in agent.asked] == ["plan", "apply"][: 2 - status]


def test_apply_of_a_file_that_removes_nothing_asks_nothing(agent: Agent, tmp_path: Path) -> None:
    agent.answer = Outcome(generation=8, hash="abc", plan=PLAN)

    assert main(["apply", one_document(tmp_path)]) == 0


def test_a_trial_shows_its_end(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answer = Outcome(generation=8, hash="abc", plan=PLAN, confirm_by="12:00:30")

    assert main(["apply", "--confirm", "30"]) == 0
    assert agent.asked == [("apply", None, False, 30)]
    assert "rolls back at 12:00:30, unless you run `ordainctl confirm`" in "".join(capsys.readouterr())


def test_a_trial_is_confirmed(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answer = 8

    assert main(["confirm"]) == 0
    assert capsys.readouterr().out == "generation 8: confirmed\n"


def test_an_apply_that_waits_for_another_one_says_for_whom(
    agent: Agent, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask_agent, "WAIT_SEC", 0.01)

    async def apply_later(*_: object, **__: object) -> Outcome:
        await asyncio.sleep(0.1)
        return Outcome(generation=4, hash="abc", plan=Plan())

    monkeypatch.setattr(agent, "apply", apply_later)
    (tmp_path / LOCK).parent.mkdir(parents=True)
    with (tmp_path / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        print(os.getppid(), 0, file=lock, flush=True)

        assert main(["apply"], root=tmp_path) == 0

    [line] = [line for line in capsys.readouterr().err.splitlines() if "waiting" in line]
    assert line.startswith("waiting for another apply, of `")
    assert line.endswith(f"(process {os.getppid()})")


def test_an_apply_that_has_begun_waits_for_no_other_one(
    agent: Agent, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that was killed in an apply comes back, finishes it, and may hold the lock for itself then."""
    monkeypatch.setattr(ask_agent, "WAIT_SEC", 0.01)
    (tmp_path / LOCK).parent.mkdir(parents=True)

    async def apply_later(*_: object, **__: object) -> Outcome:
        for caller in (os.getpid(), 0):
            (tmp_path / LOCK).write_text(f"{os.getppid()} {caller}\n")
            await asyncio.sleep(0.1)
        return Outcome(generation=4, hash="abc", plan=Plan())

    monkeypatch.setattr(agent, "apply", apply_later)
    with (tmp_path / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main(["apply"], root=tmp_path) == 0

    assert "waiting" not in capsys.readouterr().err


@pytest.mark.parametrize(("words", "number"), [(["rollback"], 0), (["rollback", "4"], 4)])
def test_rollback_asks_for_the_generation(agent: Agent, words: list[str], number: int) -> None:
    agent.answer = Outcome(generation=4, hash="abc", plan=PLAN)

    assert main(words) == 0
    assert agent.asked == [("rollback", number)]


@pytest.mark.parametrize("number", ["0", "000", "4294967296"])
def test_a_rollback_to_a_number_that_no_generation_has_names_those_that_exist(
    agent: Agent, tmp_path: Path, capsys: pytest.CaptureFixture[str], number: str
) -> None:
    store = Store(tmp_path)
    for word in ("a", "b", "c"):
        document = {"word": word}
        store.save(Generation(hash=digest(document, (), ()), document=document))

    assert main(["rollback", number], root=tmp_path) == 1

    assert agent.asked == []
    assert f"there is no generation {int(number)}; there are 1 to 3\n" in capsys.readouterr().err


@pytest.mark.parametrize(("status", "said"), [(4, "failed and rolled back"), (5, "the rollback is incomplete")])
def test_a_failed_apply_shows_its_plan_and_that_of_the_rollback(
    agent: Agent, capsys: pytest.CaptureFixture[str], status: int, said: str
) -> None:
    agent.answer = Outcome(
        generation=7,
        hash="abc",
        plan=PLAN,
        verdicts=(UnitVerdict(unit="new.service", ok=False, what="is failed", blamed=True),),
        exit_status=status,
        rejected=8,
        why="new.service is failed",
        back=Plan(reload=True),
        back_verdicts=(UnitVerdict(unit="old.service", ok=status == 4, what="runs as before"),),
    )

    assert main(["apply"]) == status
    out = capsys.readouterr().out
    assert "generation 8: new.service is failed" in out
    assert "rolled back to generation 7:" in out
    assert "runs as before" in out
    assert out.splitlines()[-1].startswith("generation 8: failed")
    assert said in out


@pytest.mark.parametrize("words", [["plan"], ["apply"], ["status"], ["diff"], ["pause"], ["resume"], ["follow"]])
@pytest.mark.parametrize(
    ("failure", "status", "message"),
    [
        (Busy("another apply is under way"), 6, "ordainctl: another apply is under way\n"),
        (Denied("only root may do this"), 1, "ordainctl: only root may do this\n"),
        (Unavailable("no bus"), 1, "ordainctl: no bus\n"),
        (Failure("no"), 1, "ordainctl: no\n"),
        (
            PermissionError(13, "Permission denied", "/run/ordain/lock"),
            1,
            "ordainctl: /run/ordain/lock: Permission denied; run it as root\n",
        ),
        (
            Refused([Problem(where=Where(path="a.yaml", line=1, column=2), what="wrong")]),
            1,
            "a.yaml:1:2: error: wrong [Schema]\n1 error\n",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_refusals_of_the_agent_have_their_message_and_exit_status(
    words: list[str], failure: Exception, status: int, message: str, agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.answer = failure

    assert main(words) == status
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", message)


def test_diff_with_the_documents_shows_the_changes_of_the_plan(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.answer = PLAN

    assert main(["diff", "--exit-code"]) == 7
    assert capsys.readouterr().out == "web.service\n  [Service] MemoryMax: 1G → 2G\n"


def test_status_has_a_header_and_a_line_for_each_unit(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answer = STATUS

    assert main(["status"]) == 0
    assert capsys.readouterr().out == (
        "State       converged\n"
        "Generation  7 (c0ffeec0ffee)\n"
        "Source      directory /etc/ordain/documents\n"
        "Agent       running\n"
        "Services    started by agent\n"
        "\n"
        "UNIT          WANTED   STATE             NOTE\n"
        "web.service   running  active (running)\n"
        "held.service  running  masked            masked by an administrator, restarted 2 times\n"
    )


@pytest.mark.parametrize(
    ("unit", "item", "note"),
    [
        ("chrony.service", "services/time-sync", "time-sync in the documents"),
        ("httpd.service", "services/apache", "apache in the documents"),
        ("sshd.service", "services/ssh", ""),
        ("openvpn-server@office.service", "services/openvpn", ""),
        ("srv.mount", "mounts/~1srv", ""),
    ],
)
def test_status_shows_the_name_in_the_documents_of_a_unit_that_is_called_otherwise(
    unit: str, item: str, note: str, agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.answer = replace(STATUS, units=(replace(STATUS.units[0], unit=unit, item=item),))

    assert main(["status"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"active (running)  {note}".rstrip())


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["status", "web"], 0),
        (["status", "web.service", "held"], 3),
        (["status", "nope"], 1),
        (["status", "--json"], 0),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_status_of_named_units(words: list[str], status: int, agent: Agent) -> None:
    agent.answer = STATUS

    assert main(words) == status


BLOCKED = StatusCondition(
    code="CredentialMissing", what="db is missing", hint="make one", item="services/db", fault=True
)


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["status"], ["web.service", "held.service", "db.service"]),
        (["status", "db"], ["db.service"]),
        (["status", "db", "web"], ["web.service", "db.service"]),
    ],
    ids=" ".join,
)
def test_status_shows_a_blocked_service_as_blocked(
    words: list[str], lines: list[str], agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.answer = replace(STATUS, conditions=(BLOCKED,))

    assert main(words) == 3
    shown = capsys.readouterr().out.partition("UNIT ")[2].splitlines()[1:]
    assert [line.split()[0] for line in shown] == lines
    assert shown[-1].split()[1] == "blocked"
    assert shown[-1].endswith("services/db: db is missing (make one) [CredentialMissing]")


def test_status_shows_errors_and_conditions(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answer = Status(
        state=AgentState.DEGRADED,
        agent=True,
        wanted_hash="f" * 64,
        source=SourceState(location="/docs", problem="a.yaml:1:1: error: wrong"),
        conditions=(
            StatusCondition(code="Unmapped", what="ssh has no meaning here", hint="unit:", item="services/ssh"),
        ),
    )

    assert main(["status"]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["State", "degraded"]
    assert "none; the documents want ffffffffffff" in lines[1]
    assert "directory /docs; not read yet" in lines[2]
    assert lines[3].split(maxsplit=1) == ["Agent", "running"]
    assert "a.yaml:1:1: error: wrong" in lines[4]
    assert "services/ssh: ssh has no meaning here (unit:) [Unmapped]" in lines[5]
    assert lines[-1] == "no generation has been applied yet"


def test_a_condition_repeats_nothing(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    problem = Problem(where=Where(path="a.yaml", line=1, pointer="services/x"), what="wrong", hint="correct it")
    agent.answer = Status(
        conditions=(StatusCondition(code="Schema", what=str(problem), hint="correct it", item="services/x"),)
    )

    assert main(["status"]) == 0
    assert f"Condition   {problem}\n" in capsys.readouterr().out


def test_watch_prints_changes(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    stopped = replace(
        STATUS.units[0], active_state="inactive", sub_state="dead", ok=False, what="stopped by an administrator"
    )
    wrong = replace(STATUS.source, problem="a.yaml:1: error: wrong")
    agent.answer = [STATUS, STATUS, replace(STATUS, units=(stopped,), source=wrong)]

    assert main(["watch"]) == 0
    assert [line.partition("  ")[2] for line in capsys.readouterr().out.splitlines()] == [
        "converged, generation 7",
        "web.service active (running)",
        "held.service inactive (dead), masked by an administrator",
        "a.yaml:1: error: wrong",
        "web.service inactive (dead), stopped by an administrator",
        "held.service is no longer in the documents",
    ]
    assert main(["watch", "--json"]) == 0
    assert [json.loads(line)["generation"] for line in capsys.readouterr().out.splitlines()] == [7, 7, 7]


def test_a_pause_and_a_hold_take_a_reason_and_an_end(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pause", "--for", "4h", "--why", "new kernel"]) == 0
    assert "until `ordainctl follow` or Mon 2026-11-30 08:00:00 UTC" in (said := capsys.readouterr()).out
    assert "is not synchronized: the end comes when the machine has run for 4 h" in said.err

    agent.answer = Hold(end=replace(cast(Expiry, PAUSE.end), synchronized=True))
    assert main(["hold", "web", "--until", "2099-01-01 08:00 UTC", "--why", "disk"]) == 0
    said = capsys.readouterr()
    assert "It ends by itself Mon 2026-11-30 08:00:00 UTC, and `ordainctl follow web.service` ends the hold" in said.out
    assert not said.err
    agent.answer = Outcome(generation=4, hash="abc", plan=PLAN)
    assert main(["rollback", "--why", "it was slow"]) == 0
    assert agent.asked == [
        ("pause", Terms(why="new kernel", lasts_sec=4 * 3600)),
        ("hold", "web.service", False, Terms(why="disk", until_sec=4_070_937_600)),
        ("rollback", 0, "it was slow"),
    ]
    for words in (["--for", "4h", "--until", "18:00"], ["--for", "soon"], ["--until", "2001-01-01"]):
        assert main(["pause", *words]) == 2


@pytest.mark.parametrize("command", ["pause", "resume", "follow"])
def test_short_commands_confirm_their_effect(command: str, agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answer = STATUS

    assert main([command]) == 0
    assert agent.asked == [("pause",)] if command == "pause" else [("follow",), ("status",)]
    assert capsys.readouterr().out


def test_status_lists_problems_only_and_counts_units(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.answer = STATUS
    assert main(["status", "--problems"]) == 0
    out = capsys.readouterr().out
    assert "State" in out
    assert "web.service" not in out
    assert "held.service" in out
    assert "2 units: 1 as wanted, 1 not" in out

    many = tuple(replace(STATUS.units[0], unit=f"web{number}.service") for number in range(30))
    agent.answer = replace(STATUS, units=many)
    main(["status"])
    assert capsys.readouterr().out.endswith("30 units: 30 as wanted, 0 not\n")


def test_status_says_why_the_machine_does_not_get_a_newer_release(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.answer = replace(STATUS, source=replace(STATUS.source, waiting="the fleet holds machine web3 by alice"))

    main(["status"])

    assert "; no newer release yet: the fleet holds machine web3 by alice" in capsys.readouterr().out


def test_follow_names_the_units_that_are_still_held_and_a_trial(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    held = replace(STATUS.units[1], why="held")
    trial = StatusCondition(code="Trial", what="generation 8 is rolled back soon", hint="run `ordainctl confirm`")
    agent.answer = replace(STATUS, units=(STATUS.units[0], held), conditions=(trial,))

    assert main(["follow"]) == 0
    said = capsys.readouterr()
    assert said.out == "following the source\n"
    assert "held.service is still held; `ordainctl follow held.service` ends that" in said.err
    assert "generation 8 is rolled back soon; run `ordainctl confirm`" in said.err


def test_follow_brings_a_unit_back_and_names_what_it_cannot_change(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.answer = Outcome(generation=8, hash="abc", plan=PLAN)
    assert main(["follow", "held"]) == 0
    assert agent.asked == [("follow_unit", "held.service")]
    assert "new.service" in capsys.readouterr().out

    async def nothing_to_do(_unit: str) -> None:
        return None

    monkeypatch.setattr(agent, "follow_unit", nothing_to_do)
    agent.answer = STATUS
    assert main(["follow", "web"]) == 0
    assert "already in the state that the documents want" in capsys.readouterr().out
    assert main(["follow", "web", "held"]) == 3
    assert "held.service: masked by an administrator; the documents want running" in capsys.readouterr().out


def test_status_says_why_a_unit_is_there_that_nobody_named(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    unit = replace(STATUS.units[0], unit="systemd-sysctl.service", item="sysctl")
    agent.answer = replace(STATUS, units=(unit,))

    main(["status"])

    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("systemd-sysctl"))
    assert line.endswith("applies `sysctl` of the documents")
