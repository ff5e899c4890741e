"""The commands that look for documents and machines: `ordainctl query …`."""

from __future__ import annotations

from ordain.agent.cli.commands.fleet_commands import GROUP
from ordain.agent.cli.commands.shared_arguments import COUNT, JSON, SINCE_UNTIL, STORE
from ordain.agent.cli.commands.subcommand import Argument, Completion, Exit, Family, Subcommand

FAMILY = Family(
    name="query",
    group=GROUP,
    purpose="look for documents and machines by conditions",
    text=(
        "An expression has conditions, with `and`, `or`, `not` and brackets. FIELD alone: it is set. FIELD=VALUE, with "
        "=, !=, <, <=, >, >= or ~ (contains): sizes and times are compared as quantities, and = accepts the wildcards "
        "* and ?. A FIELD with a slash is a pointer into a document, in which * stands for any name."
    ),
)
EXPRESSION = Argument(
    metavar="EXPRESSION", required=True, many=True, help="the condition, such as services/nginx/limits/memory<1G"
)
STATUSES = (Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED)

ROWS = (
    Subcommand(
        name="query documents",
        group=FAMILY.name,
        purpose="list the documents that set something",
        text=(
            "Looks into the documents of the store, or of files, as they were written: templates are not expanded. "
            "Attributes beside pointers: name, kind, tier, scope. Names the documents that cannot be read, with "
            "the exit status 3."
        ),
        run="fleet.query:documents",
        arguments=(
            EXPRESSION,
            Argument(
                flag="--file",
                metavar="FILE",
                many=True,
                completion=Completion.FILES,
                help="look into these files or directories instead of the store",
            ),
            COUNT,
            *STORE,
            JSON,
        ),
        examples=(
            ("ordainctl query documents services/nginx/limits/memory", "who sets it, and to what"),
            ("ordainctl query documents 'services/*/command ~ python and tier=site'", "any service"),
        ),
        statuses=STATUSES,
    ),
    Subcommand(
        name="query machines",
        group=FAMILY.name,
        purpose="list the machines for which a condition holds",
        text=(
            "Resolves the documents of each machine that reports to the store: those of its release, or the plain "
            "ones. Attributes beside pointers: its facts and labels (`role=web`, `os=debian`), state, behind, held, "
            "degraded, silent, condition, unit, failed, drift, generation, release, channel, source, hostname, "
            "machine. `label.NAME` reaches a label that has the name of another attribute. Exits with 3 if a document "
            "cannot be read, or the documents of a machine cannot be resolved, and names them."
        ),
        run="fleet.query:machines",
        arguments=(EXPRESSION, COUNT, *STORE, JSON),
        examples=(
            ("ordainctl query machines 'services/nginx and services/nginx/limits/memory<1G'", "too little memory"),
            ("ordainctl query machines 'role=web and (behind or silent)'", "machines that are late"),
        ),
        statuses=STATUSES,
    ),
    Subcommand(
        name="query changes",
        group=FAMILY.name,
        purpose="list the changes in a store: what changed, by whom and why",
        text=(
            "Reads the log of the store, which every command that writes there continues: documents, releases, "
            "rollouts, holds. Without EXPRESSION, lists all changes; its attributes are action, subject, by, why and "
            "what. Releases of versions that wrote no log are listed with their keys. `ordainctl documents history` "
            "has the texts that the store still keeps, and `ordainctl history` the changes of one machine."
        ),
        run="fleet.query_changes:changes",
        arguments=(
            Argument(metavar="EXPRESSION", many=True, help="the condition, such as by=alice* or subject=layer/web"),
            *SINCE_UNTIL,
            COUNT,
            *STORE,
            JSON,
        ),
        examples=(
            ("ordainctl query changes --since Tue", "since Tuesday, 00:00"),
            ("ordainctl query changes --since yesterday --until 12:00 'by=alice* and action=put'", "of one person"),
            ("ordainctl query changes --since '3h ago' --count", "a number"),
        ),
        statuses=STATUSES,
    ),
)
