"""All commands of ordainctl: the one list that the parser, the help, the completion and the manual page follow."""

from __future__ import annotations

from ordain.agent.cli import (
    commands_change,
    commands_documents,
    commands_fleet,
    commands_machine,
    commands_query,
    commands_release,
    commands_runs,
    commands_store,
)

COMMANDS = {
    row.name: row
    for module in (
        commands_documents,
        commands_machine,
        commands_change,
        commands_store,
        commands_release,
        commands_fleet,
        commands_query,
        commands_runs,
    )
    for row in module.ROWS
}
FAMILIES = {
    family.name: family
    for family in (
        commands_store.FAMILY,
        commands_store.STORE_FAMILY,
        commands_release.FAMILY,
        commands_fleet.FAMILY,
        commands_query.FAMILY,
        commands_runs.FAMILY,
    )
}
"""By the first word of their commands."""
GROUPS = (
    commands_documents.GROUP,
    commands_machine.GROUP,
    commands_change.GROUP,
    commands_fleet.GROUP,
    commands_runs.GROUP,
)
"""The headings of the overview, by task, in order."""
