"""All commands of ordainctl: the one list that the parser, the help, the completion and the manual page follow."""

from __future__ import annotations

from ordain.agent.cli.commands import (
    change_commands,
    documents_commands,
    enrollment_commands,
    fleet_commands,
    machine_commands,
    netboot_commands,
    query_commands,
    release_commands,
    runs_commands,
    secret_commands,
    store_commands,
)

COMMANDS = {
    row.name: row
    for module in (
        documents_commands,
        machine_commands,
        change_commands,
        store_commands,
        release_commands,
        fleet_commands,
        enrollment_commands,
        netboot_commands,
        secret_commands,
        query_commands,
        runs_commands,
    )
    for row in module.ROWS
}
FAMILIES = {
    family.name: family
    for family in (
        store_commands.FAMILY,
        store_commands.STORE_FAMILY,
        release_commands.FAMILY,
        fleet_commands.FAMILY,
        netboot_commands.FAMILY,
        secret_commands.FAMILY,
        query_commands.FAMILY,
        runs_commands.FAMILY,
    )
}
"""By the first word of their commands."""
GROUPS = (
    documents_commands.GROUP,
    machine_commands.GROUP,
    change_commands.GROUP,
    fleet_commands.GROUP,
    runs_commands.GROUP,
)
"""The headings of the overview, by task, in order."""
