"""store backup, store restore: copies of the content of a store."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Console, Style, plural
from ordain.agent.cli.store.open_store import store_author, with_store
from ordain.agent.cli.store.store_setup import require_consent
from ordain.agent.delivery.database.database import Database
from ordain.agent.delivery.identity.identities import read_identities
from ordain.agent.delivery.identity.restored_records import restorable_records
from ordain.agent.delivery.release.change_log import (
    ChangeAction,
    new_change,
    record_change,
)
from ordain.agent.delivery.release.store_copy import Restore, copy_store, plan_restore, read_copy, write_copy
from ordain.agent.delivery.release.store_copy import restore as restore_copy
from ordain.agent.errors import Failure
from ordain.agent.local_time import local_time

MOST_NAMES = 10


def backup(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl store backup`."""
    folder = Path(request.directory)
    copy = with_store(request, copy_store)
    try:
        write_copy(copy, folder)
    except OSError as error:
        raise Failure(f"{error.filename}: {error.strerror}; {folder} is not a whole backup") from None
    size = sum(map(len, copy.entries.values()))
    console.line(f"{folder}: {plural(len(copy.entries), 'key')} of {copy.location}, {size / (1 << 20):.1f} MiB")
    for problem in copy.problems:
        console.note(problem, Style.WARN)
    return Exit.DEGRADED if copy.problems else Exit.OK


def restore(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl store restore`."""
    copy = read_copy(Path(request.directory))

    async def work(database: Database) -> None:
        records = restorable_records(copy.entries, await read_identities(database))
        plan = await plan_restore(database, replace(copy, entries=records.entries))
        console.line(f"backup of {copy.location}, {local_time(copy.time)}: {_summary(plan)}")
        for key in plan.differing[:MOST_NAMES]:
            console.line(f"  {key} is something else in {database.location}", Style.WARN)
        if len(plan.differing) > MOST_NAMES:
            console.line(f"  and {len(plan.differing) - MOST_NAMES} more", Style.WARN)
        for key, reason in records.left_out.items():
            console.note(f"{key} is left out: {reason}", Style.WARN)
        if records.machines:
            console.note(
                f"the backup admits {plural(len(records.machines), 'machine')} that the store does not know: revoke "
                f"those again that you have revoked since {local_time(copy.time)} (`ordainctl fleet identity` lists "
                "them); machines with a user of etcd of their own need another token",
                Style.WARN,
            )
        if request.preview or not plan.writes:
            return
        if plan.differing and not request.replace:
            raise Failure("the store holds other versions of these; use --replace to overwrite them")
        require_consent(request, database.location, len(plan.writes))
        await restore_copy(database, plan)
        what = f"backup of {copy.location}, {copy.time}, {plural(len(plan.writes), 'key')}"
        await record_change(database, new_change(ChangeAction.RESTORE, ["store"], store_author(request), what=what))
        console.line(f"{database.location}: restored")

    with_store(request, work)
    return Exit.OK


def _summary(plan: Restore) -> str:
    parts = [f"{plural(len(plan.writes), 'key')} to write"]
    parts += [f"{len(plan.differing)} of them replace others"] if plan.differing else []
    parts += [f"{plan.kept} are there already"] if plan.kept else []
    parts += [f"{plan.others} that the backup does not have stay"] if plan.others else []
    return ", ".join(parts)
