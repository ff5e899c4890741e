"""Source texts and this machine → a generation; effect: reads the machine below ``root``.

texts ─documents▶ Document ─compile▶ Compiled ─generation▶ Generation, Problems
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ordain.agent.compile.compile_cache import MachineInputs, read_machine
from ordain.agent.compile.credentials import CREDENTIAL_MISSING, MissingCredential, absent, missing_credentials
from ordain.agent.compile.missing_programs import missing_programs
from ordain.agent.generation import digest, generation
from ordain.agent.model import Generation, RawDocument
from ordain.transforms.catalog.machine_catalog import read_texts
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.errors import NOWHERE, Problem, Refused, Severity, errors, in_order
from ordain.transforms.memo import Memory
from ordain.transforms.model import Compiled


def compile_texts(texts: Iterable[RawDocument], root: Path, last: Generation) -> tuple[Generation, tuple[Problem, ...]]:
    """What the documents come to on the machine below ``root``, and what they hold back or warn of.

    ``last`` is the last good generation: an item that this machine cannot have keeps its form from there
    (docs/design/documents.md, rule 3). The result has no number yet. Raises `Refused`. For an image or a first boot:
    which secrets will be there is not known yet.
    """
    return compile_generation(texts, replace(read_machine(root), live=False), last)


# Of many documents one changes at a time; the process that compiles for an agent is there to remember the others.
_MEMORY = Memory()


def compile_generation(
    texts: Iterable[RawDocument], machine: MachineInputs, last: Generation, memory: Memory = _MEMORY
) -> tuple[Generation, tuple[Problem, ...]]:
    """`compile_texts` on ``machine``."""
    found, wrong = read_texts([*texts, *machine.transforms], memory)
    if errors(wrong):
        raise Refused([*machine.problems, *wrong])
    # What is wrong with a Transform is told again by those that are for this machine, and by what needs them.
    wrong = tuple(problem for problem in wrong if problem.severity is not Severity.BLOCKED)
    compiled = compile(found, machine.facts, machine.installed, shipped=shipped(), memory=memory)
    new = generation(compiled)
    without = tuple(_missing(compiled, missing_credentials(new, machine.root) if machine.live else ()))
    new = _less(new, {problem.item for problem in without})
    blocked = {p.item for p in (*compiled.problems, *without) if p.severity is Severity.BLOCKED and p.item}
    new = keep(new, last, blocked)
    left_out = blocked - {member.item for member in new.members}
    told = [*without, *_without(new, left_out), *(_programs(compiled, new, machine.root) if machine.live else ())]
    all_problems = in_order([*machine.problems, *wrong, *compiled.problems, *told])
    return new, all_problems


def _less(new: Generation, items: Container[str]) -> Generation:
    """``new`` without what belongs to ``items``."""
    artifacts = tuple(artifact for artifact in new.artifacts if artifact.item not in items)
    members = tuple(member for member in new.members if member.item not in items)
    if len(members) == len(new.members):
        return new
    return replace(new, artifacts=artifacts, members=members, hash=digest(new.document, artifacts, members))


def _missing(compiled: Compiled, found: Iterable[MissingCredential]) -> Iterator[Problem]:
    """A unit would fail without its credential, and the whole change would be gone back from: it waits instead."""
    for each in found:
        section, _, name = each.item.partition("/")
        pointer = f"{each.item}/credentials/{each.name}"
        where = compiled.resolved.tree.branch(section).branch(name).branch("credentials").branch(each.name).where
        yield Problem(
            where=replace(where, pointer=pointer),
            what=absent(each.path),
            hint="it starts when the credential is; systemd-creds encrypt makes one",
            code=CREDENTIAL_MISSING,
            severity=Severity.BLOCKED,
            item=each.item,
        )


def _programs(compiled: Compiled, new: Generation, root: Path) -> Iterator[Problem]:
    for item, path in missing_programs(new, root):
        section, _, name = item.partition("/")
        yield Problem(
            where=replace(compiled.resolved.tree.branch(section).branch(name).where, pointer=item),
            what=f"{path} is not there",
            hint="until it is, the service does not start, and a change that starts it goes back",
            code="ProgramMissing",
            severity=Severity.WARNING,
            item=item,
        )


def keep(new: Generation, last: Generation, blocked: Iterable[str]) -> Generation:
    """``new`` with the blocked items as they were in ``last``: artifacts, members, nothing else.

    What ``new`` places under the same path, or says of the same unit, goes before.
    """
    items = set(blocked)
    paths = {artifact.path for artifact in new.artifacts}
    units = {member.unit for member in new.members}
    kept = [a for a in last.artifacts if a.item in items and a.path not in paths]
    members = [m for m in last.members if m.item in items and m.unit not in units]
    if not kept and not members:
        return new
    artifacts = tuple(sorted((*new.artifacts, *kept), key=lambda a: a.path))
    all_members = tuple(sorted((*new.members, *members), key=lambda m: m.unit))
    return replace(
        new,
        artifacts=artifacts,
        members=all_members,
        hash=digest(new.document, artifacts, all_members),
    )


def _without(new: Generation, left_out: Iterable[str]) -> Iterator[Problem]:
    """Name the services that require a blocked one that has no last good form."""
    names = {item.removeprefix("services/") for item in left_out if item.startswith("services/")}
    for name, service in sorted(new.document.get("services", {}).items()):
        for required in sorted(names & set(service.get("requires") or ())):
            yield Problem(
                where=replace(NOWHERE, pointer=f"services/{name}/requires/{required}"),
                what=f"requires {required}, which this machine cannot have, so it will not start",
                code="RequiresBlocked",
                severity=Severity.WARNING,
                item=f"services/{name}",
            )
