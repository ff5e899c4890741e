"""Reading the source: its documents, its state and health, and the limit of removals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ordain.agent.daemon.status.source_reader import SourceReader
from ordain.agent.delivery.protocol import ReleaseReference, Snapshot, SourceError, SourceFault, SourceHealth, ignore
from ordain.agent.errors import Busy, RemovalLimitExceeded, Unavailable
from ordain.agent.model import Generation
from ordain.agent.settings import Settings
from ordain.agent.state.applied_source import write_applied_source
from ordain.transforms.model import Member, Wanted

WEB = (("web.yaml", b"x"),)
LOST = SourceHealth(connected=False, code=SourceFault.UNREACHABLE, what="no route to host", hint="look", since=0.0)


class Source:
    def __init__(self, *answers: Snapshot | SourceError, location: str = "https://db", type: str = "etcd") -> None:
        self.answers = list(answers)
        self.location = location
        self.type = type

    async def read(self) -> Snapshot:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, SourceError):
            raise answer
        return answer

    async def changes(self, begun: Callable[[], None] = ignore) -> AsyncIterator[None]:
        return
        yield


class Admission:
    """The executor: admits everything, and counts how often it is asked."""

    def __init__(self, release: ReleaseReference | None = None) -> None:
        self.release = release or ReleaseReference()
        self.calls = 0

    def __call__(self, function: str, /, *arguments: object) -> Any:
        self.calls += 1
        return arguments[-1], self.release, {"role": ("web",)}


def members(*names: str) -> tuple[Member, ...]:
    return tuple(Member(unit=f"{n}.service", item=f"services/{n}", wanted=Wanted.RUNNING, ours=True) for n in names)


def reader(
    root: Path, source: Source, *, applied: tuple[Member, ...] = (), admission: Admission | None = None
) -> SourceReader:
    store = SimpleNamespace(applied=lambda: Generation(members=applied))
    return SourceReader(
        source=source, settings=Settings(), root=root, executor=admission or Admission(), store=cast(Any, store)
    )


def test_documents_come_with_their_revision_and_the_labels_of_the_machine(tmp_path: Path) -> None:
    made = reader(tmp_path, Source(Snapshot(texts=WEB, revision="7", health=SourceHealth(connected=True))))

    assert asyncio.run(made.read()) == WEB
    assert (made.state.connected, made.state.revision, made.state.problem) == (True, "7", "")
    assert made.labels == {"role": ("web",)}
    assert made.facts is not None


def test_a_server_that_fails_while_another_answers_is_shown_and_the_source_is_connected(tmp_path: Path) -> None:
    health = SourceHealth(connected=True, code=SourceFault.SERVER, what="https://a: silent", hint="repair it")
    made = reader(tmp_path, Source(Snapshot(texts=WEB, revision="7", health=health)))

    assert asyncio.run(made.read()) == WEB
    assert (made.state.connected, made.state.code, made.state.problem) == (True, SourceFault.SERVER, health.what)
    assert made.problems == ()


def test_unsigned_documents_that_have_not_changed_are_examined_once(tmp_path: Path) -> None:
    admission = Admission()
    made = reader(tmp_path, Source(Snapshot(texts=WEB), Snapshot(texts=WEB), Snapshot(texts=())), admission=admission)

    for _ in range(3):
        asyncio.run(made.read())

    assert admission.calls == 2


def test_a_release_is_examined_each_time(tmp_path: Path) -> None:
    admission = Admission(ReleaseReference(channel="stable", number=4))
    made = reader(tmp_path, Source(Snapshot(texts=WEB)), admission=admission)

    for _ in range(2):
        asyncio.run(made.read())

    assert admission.calls == 2
    assert made.state.release == "stable 4"


def test_a_machine_that_waits_for_its_first_release_keeps_what_is_in_force_without_a_fault(tmp_path: Path) -> None:
    made = reader(tmp_path, Source(Snapshot(texts=(), waiting="the rollout is at 1%")), applied=members("web"))

    with pytest.raises(Unavailable, match="no release for this machine yet: the rollout is at 1%"):
        asyncio.run(made.read())
    assert (made.state.connected, made.state.waiting, made.state.code) == (True, "the rollout is at 1%", "")
    assert made.facts is not None, "the gate of the rollout waits for a report"


def test_a_source_that_cannot_be_read_is_unavailable_and_says_what_stays(tmp_path: Path) -> None:
    made = reader(tmp_path, Source(SourceError("no route to host", code=SourceFault.UNREACHABLE, hint="look")))

    with pytest.raises(Unavailable, match="no route to host; what was applied stays; look"):
        asyncio.run(made.read())
    assert (made.state.code, made.state.hint, made.state.connected) == (SourceFault.UNREACHABLE, "look", False)
    assert asyncio.run(made.read_revision()) == ""


def test_an_empty_source_is_unavailable_only_where_something_is_applied(tmp_path: Path) -> None:
    assert asyncio.run(reader(tmp_path, Source(Snapshot(texts=()))).read()) == ()

    made = reader(tmp_path, Source(Snapshot(texts=())), applied=members("web"))
    with pytest.raises(Unavailable, match="https://db holds no documents"):
        asyncio.run(made.read())
    assert made.state.code == SourceFault.EMPTY


@pytest.mark.parametrize(
    "text", [b"", b"\n", b"# all of it\n  # is gone\n", b"---\n...\n", b"--- # x\n\nnull\n", b"[]"]
)
def test_files_that_were_cut_to_nothing_remove_nothing(tmp_path: Path, text: bytes) -> None:
    texts = (("a.yaml", text), ("b.yaml", b""))
    made = reader(tmp_path, Source(Snapshot(texts=texts, own=True)), applied=members("web"))
    with pytest.raises(Unavailable, match="holds no documents"):
        asyncio.run(made.read())

    more = (*texts, ("c.yaml", b"ordain: v1\nkind: Layer\nname: empty\n"))
    made = reader(tmp_path, Source(Snapshot(texts=more, own=True)), applied=members("web"))
    assert asyncio.run(made.read()) == more


def test_documents_fetched_before_a_loss_are_used_and_the_loss_is_shown(tmp_path: Path) -> None:
    made = reader(tmp_path, Source(Snapshot(texts=WEB, revision="7", health=LOST)))

    assert asyncio.run(made.read()) == WEB
    assert made.health == LOST
    assert made.state.problem == "no route to host; what was fetched last stays"
    assert made.state.since.endswith("+00:00")
    assert not made.state.connected
    assert [str(problem) for problem in made.problems] == [
        "source: warning: no route to host; what was fetched last stays (look) [SourceUnreachable]"
    ]


def test_a_directory_is_never_lost(tmp_path: Path) -> None:
    made = reader(tmp_path, Source(Snapshot(texts=WEB, own=True), type="directory"))

    asyncio.run(made.read())

    assert made.health == SourceHealth(connected=True)


def test_a_source_that_is_replaced_while_it_is_read_is_not_used(tmp_path: Path) -> None:
    other = Source(Snapshot(texts=WEB, revision="other"), location="/other")
    made = reader(tmp_path, Source(Snapshot(texts=(), revision="old")))

    class Replaced(Source):
        async def read(self) -> Snapshot:
            made.adopt(Settings(), other)
            return await super().read()

    made.adopt(Settings(), Replaced(Snapshot(texts=(), revision="old")))

    assert asyncio.run(made.read()) == WEB
    assert (made.state.revision, made.state.location) == ("other", "/other")


MANY = Generation(members=members(*"abcdefghij"))
FEW = Generation(members=members("a"))


@pytest.mark.parametrize(
    ("snapshot", "applied_from", "refused"),
    [
        (Snapshot(texts=WEB), "https://db", True),
        (Snapshot(texts=WEB), "https://another", False),
        (Snapshot(texts=WEB, own=True), "https://db", False),
        (Snapshot(texts=WEB, removals_intended=True), "https://db", False),
    ],
    ids=["the same source", "another source", "documents of this machine", "a signed release that declares it"],
)
def test_the_same_remote_source_removes_most_services_only_if_it_declares_that(
    tmp_path: Path, snapshot: Snapshot, applied_from: str, refused: bool
) -> None:
    write_applied_source(tmp_path, applied_from)
    made = reader(tmp_path, Source(snapshot))
    asyncio.run(made.read())

    if refused:
        with pytest.raises(RemovalLimitExceeded):
            made.check_removals(MANY, FEW)
    else:
        made.check_removals(MANY, FEW)


def test_documents_read_before_agent_yaml_changed_are_not_applied(tmp_path: Path) -> None:
    made = reader(tmp_path, Source(Snapshot(texts=WEB)))
    asyncio.run(made.read())
    made.adopt(Settings(), Source(Snapshot(texts=WEB)))

    with pytest.raises(Busy, match=r"agent\.yaml has changed"):
        made.check_removals(FEW, FEW)
