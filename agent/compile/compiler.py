"""Documents and the machine below a root → a generation.

texts ──read──▶ Document ──compile──▶ Compiled ──generation──▶ Generation, Problems
                                                     │
                  without items whose credential is missing, with the last form of those that are blocked
"""

from __future__ import annotations

import importlib
from collections.abc import Container, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from ordain.agent.compile.blocked_items import keep_last_form, keep_last_values
from ordain.agent.compile.compile_cache import NOT_INSTALLED, MachineInputs, read_machine
from ordain.agent.compile.credentials import CREDENTIAL_MISSING, MissingCredential, missing_credentials
from ordain.agent.compile.executor import ADMIT
from ordain.agent.compile.load_check import unloadable_units
from ordain.agent.compile.missing_programs import (
    missing_environment_files,
    missing_programs,
    programs_of,
    similar_programs,
    unusable_programs,
)
from ordain.agent.compile.missing_requirements import missing_requirements
from ordain.agent.compile.past_calendars import never_comes, past_calendars
from ordain.agent.compile.supported_types import unsupported_units
from ordain.agent.compile.unopened_secrets import unopened_problems, without_unused_secrets
from ordain.agent.errors import Failure
from ordain.agent.generation import generation, identified
from ordain.agent.model import Generation, RawDocument
from ordain.transforms.catalog.machine_catalog import read_documents
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.document.text.node import unescape_key
from ordain.transforms.errors import (
    NOWHERE,
    Problem,
    Refused,
    Severity,
    Where,
    blocked,
    only_errors,
    sorted_problems,
    warning,
)
from ordain.transforms.machine import time_zones
from ordain.transforms.machine.fact_readers import read_details, unknown_details
from ordain.transforms.memo import Memo
from ordain.transforms.model import Compiled, Kind
from ordain.transforms.resolve.used_facts import further_facts


def compile_texts(
    texts: Iterable[RawDocument], root: Path, last: Generation, *, in_image: bool = False
) -> tuple[Generation, tuple[Problem, ...]]:
    """Return the generation of the documents for a machine that does not run yet: in an image, or at a first boot.

    Programs may be missing there, and in an image also credentials. See `compile_generation`.
    """
    machine = replace(read_machine(root), live=False, has_credentials=not in_image)
    new, problems = compile_generation(texts, machine, last)
    return keep_last_values(new, last, problems), problems


THIS_MACHINE = Path("/")
"""The root of the system whose systemd-analyze runs."""

# Usually one of many documents changes. The process that compiles for the agent remembers the results of the others.
_MEMO = Memo()


def compile_generation(
    texts: Iterable[RawDocument], machine: MachineInputs, last: Generation, memo: Memo = _MEMO
) -> tuple[Generation, tuple[Problem, ...]]:
    """Return the generation of the documents, without a number, and its problems. Raises `Refused`.

    ``last`` is the last good generation: an item that this machine cannot have keeps its form from there
    (docs/design/documents.md, rule 3). The document of the result still has its new values; see `keep_last_values`.
    """
    new, problems, _ = compile_with_inputs(texts, machine, last, memo)
    return new, problems


def compile_with_inputs(
    texts: Iterable[RawDocument], machine: MachineInputs, last: Generation, memo: Memo = _MEMO
) -> tuple[Generation, tuple[Problem, ...], frozenset[str]]:
    """Return the same as `compile_generation`, and the further facts that the documents use. Raises `Refused`.

    Only these facts are read, so that documents without them cost nothing.
    """
    documents, reading = read_documents([*texts, *machine.transforms], memo)
    if only_errors(reading):
        raise Refused([*machine.problems, *reading])
    reads = memo.table("used facts")
    of_each = (reads.get_or_make(str(d.where), d, partial(further_facts, (d,))) for d in documents)
    used = frozenset(name for names in of_each for name in names)
    details = {**read_details(machine.root, used), **machine.facts.details}
    unknown = unknown_details(machine.root, used) - details.keys()
    machine = replace(machine, facts=replace(machine.facts, details=details, unknown=unknown))
    # The compile reports a fault in a Transform again if that is for this machine, and with every item that needs it.
    reading = tuple(problem for problem in reading if problem.severity is not Severity.BLOCKED)
    compiled = compile(
        documents,
        machine.facts,
        machine.installed,
        # Accounts that a first boot makes before the services start are not missing yet.
        accounts=machine.accounts if machine.live else replace(machine.accounts, complete=False),
        shipped=shipped(),
        memo=memo,
    )
    new = generation(compiled)
    absent = missing_credentials(new, machine.root) if machine.has_credentials else ()
    missing = tuple(_missing_credentials(compiled, absent))
    missing += tuple(unopened_problems(new, machine.unopened, partial(_place, compiled)))
    new = _without_items(new, {problem.item for problem in missing})
    missing += tuple(_impossible_units(compiled, new, last, machine) if machine.live else ())
    new = _without_items(new, {problem.item for problem in missing})
    missing += tuple(_awaited_programs(compiled, new, machine.root) if machine.live and new.packages else ())
    new = _without_items(new, {problem.item for problem in missing})
    items = {p.item for p in (*compiled.problems, *missing) if p.severity is Severity.BLOCKED and p.item}
    new = without_unused_secrets(keep_last_form(new, last, items))
    left_out = items - {member.item for member in new.members}
    required = tuple(_required_items(new, left_out))
    programs = _missing_programs(compiled, new, machine.root) if machine.live else ()
    environment = _missing_environment(compiled, new, machine.root) if machine.live else ()
    units = _missing_requirements(compiled, new, last, machine.root) if machine.live else ()
    units = (problem for problem in units if problem.item not in {of_blocked.item for of_blocked in required})
    past = _past_calendars(compiled, new) if machine.root == THIS_MACHINE else ()
    of_documents = compiled.problems
    if machine.live:  # the machine knows better than a table which time zones it has
        of_documents = (*(p for p in of_documents if p.code != "TimeZone"), *_missing_zone(compiled, machine.root))
    of_machine = (*missing, *required, *programs, *environment, *units, *past)
    problems = sorted_problems([*machine.problems, *reading, *of_documents, *of_machine])
    return new, problems, used


def warm_up() -> None:
    """Load what a compile needs, so that the next one takes no time for it."""
    importlib.import_module(ADMIT.partition(":")[0])
    read("warm-up.yaml", b"ordain: v1\nkind: Layer\nname: warm-up\n")
    shipped()


def require_document(texts: Iterable[RawDocument]) -> None:
    """Raise `Failure` for texts that hold no layer, such as an empty file: to apply them would remove everything.

    Documents of other kinds configure nothing alone. If the texts have errors, raise `Refused`.
    """
    readings = [(path, read(path, data)) for path, data in texts]
    if any(document.kind is Kind.LAYER for _, (documents, _) in readings for document in documents):
        return
    if problems := [problem for _, (_, problems) in readings for problem in problems]:
        raise Refused(problems)
    if not readings:
        raise Failure("no documents were found there: their names end with .yaml, .yml or .json, in the folder itself")
    paths = ", ".join(path for path, _ in readings)
    message = f"{paths}: there is no layer, so applying it would remove everything"
    raise Failure(f"{message}; to do that, run `ordainctl apply --nothing {paths.replace(',', '')}`")


def _without_items(new: Generation, items: Container[str]) -> Generation:
    artifacts = tuple(artifact for artifact in new.artifacts if artifact.item not in items)
    members = tuple(member for member in new.members if member.item not in items)
    if len(members) == len(new.members) and len(artifacts) == len(new.artifacts):
        return new
    return identified(replace(new, artifacts=artifacts, members=members))


def _missing_credentials(compiled: Compiled, missing: Iterable[MissingCredential]) -> Iterator[Problem]:
    """Yield a problem that blocks the item of each missing credential.

    Without its credential, the unit would fail to start, and the whole change would be rolled back.
    """
    for credential in missing:
        section, _, name = credential.item.partition("/")
        credentials = compiled.resolved.tree.branch(section).branch(name).branch("credentials")
        where = replace(
            credentials.branch(credential.name).where, pointer=f"{credential.item}/credentials/{credential.name}"
        )
        yield Problem(
            where=where,
            what=f"credential file not found: {credential.path}",
            hint="create the file, for example with systemd-creds encrypt; then the unit starts by itself",
            code=CREDENTIAL_MISSING,
            severity=Severity.BLOCKED,
            item=credential.item,
            subject=credential.path,
        )


def _impossible_units(
    compiled: Compiled, new: Generation, last: Generation, machine: MachineInputs
) -> Iterator[Problem]:
    """Yield a problem that blocks the item of each unit that PID 1 would not load, or for which it would do no job.

    It would be found only after other units were stopped, and the whole change would be rolled back.
    """
    for item, unit, reason in unsupported_units(new, machine.unsupported):
        kind = unit.rpartition(".")[2]
        what = f"this system cannot have a unit of the type {kind}, because {reason}"
        yield blocked(item, _place(compiled, item), what, code="UnsupportedType")
    for item, unit, reason in unloadable_units(new, last) if machine.root == THIS_MACHINE else ():
        what = f"PID 1 would not load {unit}: {reason}"
        hint = "correct the directives in `systemd` or `units`; `systemctl --version` shows whose rules apply"
        yield blocked(item, _place(compiled, item), what, hint, "NotLoadable")


def _place(compiled: Compiled, item: str) -> Where:
    section, _, name = item.partition("/")
    return replace(compiled.resolved.tree.branch(section).branch(unescape_key(name)).where, pointer=item)


def _awaited_programs(compiled: Compiled, new: Generation, root: Path) -> Iterator[Problem]:
    """Yield a problem that blocks the item of each missing program, where packages may bring it.

    They are installed beside the applies, and one that started the service before would be rolled back.
    """
    for item, path in missing_programs(new, root):
        what, hint = f"program not found: {path}", "it starts once a package has brought the program"
        yield replace(blocked(item, _place(compiled, item), what, hint, NOT_INSTALLED), subject=path)


def _missing_programs(compiled: Compiled, new: Generation, root: Path) -> Iterator[Problem]:
    programs = programs_of(new)
    for item, path in missing_programs(new, root, programs):
        where = _place(compiled, item)
        hint = "install it first: a change that starts the service without its program is rolled back"
        if near := similar_programs(path, root):
            hint = f"{near} Else {hint}"
        yield warning(item, where, f"program not found: {path}", hint, "ProgramMissing")
    for item, path, fault in unusable_programs(new, root, programs):
        what, hint = f"{path} cannot be run: {fault}", "name the program, or make it executable with chmod"
        yield warning(item, _place(compiled, item), what, hint, "ProgramMissing")


_HINTS_OF_NEEDS = {
    "requires": "install or unmask it first: a change that starts this unit is rolled back; `wants` starts without it",
    "on-failure": "install or unmask it, or correct its name: PID 1 would only write to the journal",
}


def _missing_environment(compiled: Compiled, new: Generation, root: Path) -> Iterator[Problem]:
    for item, path in missing_environment_files(new, root):
        hint = (
            "make it first, or write - in front of the path: a change that starts the service without it is rolled back"
        )
        yield warning(item, _place(compiled, item), f"environment file not found: {path}", hint, "EnvironmentMissing")


def _missing_requirements(compiled: Compiled, new: Generation, last: Generation, root: Path) -> Iterator[Problem]:
    for item, key, fault in missing_requirements(new, last, root):
        section, _, name = item.partition("/")
        words = compiled.resolved.tree.branch(section).branch(unescape_key(name)).branch(key)
        yield warning(item, replace(words.where, pointer=item), fault, _HINTS_OF_NEEDS[key], "NoSuchUnit")


def _past_calendars(compiled: Compiled, new: Generation) -> Iterator[Problem]:
    for item, times in past_calendars(new, never_comes):
        what = f"its timer never elapses: {times} has passed"
        hint = "write a time that comes, or remove the year; `systemd-analyze calendar` shows the next one"
        yield warning(item, _place(compiled, item), what, hint, "NeverElapses")


def _missing_zone(compiled: Compiled, root: Path) -> Iterator[Problem]:
    leaf = compiled.resolved.tree.branch("host").leaf("timezone")
    if leaf is not None and time_zones.is_missing(root, str(leaf.value)):
        what = f"there is no time zone {leaf.value} on this machine, so all programs would use UTC"
        hint = "check the spelling (`timedatectl list-timezones`), or install the package tzdata"
        yield warning("host", leaf.where, what, hint, "TimeZone")


def _required_items(new: Generation, left_out: Iterable[str]) -> Iterator[Problem]:
    """Yield a warning for each service that requires an item which was left out."""
    names = {item.removeprefix("services/") for item in left_out if item.startswith("services/")}
    for name, service in sorted(new.document.get("services", {}).items()):
        for required in sorted(names & set(service.get("requires") or ())):
            where = replace(NOWHERE, pointer=f"services/{name}/requires/{required}")
            what = f"requires {required}, which is blocked on this machine, so it will not start"
            yield warning(f"services/{name}", where, what, code="RequiresBlocked")
