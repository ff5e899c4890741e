"""The commands that show this machine and change nothing."""

from __future__ import annotations

from ordain.agent.cli.commands.shared_arguments import COUNT, EXIT_CODE, JSON, SINCE_UNTIL, UNITS
from ordain.agent.cli.commands.subcommand import Argument, Completion, Exit, Subcommand

GROUP = "Look at this machine"

ROWS = (
    Subcommand(
        name="status",
        group=GROUP,
        purpose="show the state of the machine and of its units in the documents",
        text=(
            "Shows the generation in force, the source of the documents and all problems; then one line for each unit: "
            "its wanted state, its actual state, and the reason if the two differ. "
            "Works also while the agent is not running. Exits with 3 if the machine is not as the documents want it: "
            "while a unit or value differs, an item is blocked, the documents are refused, or the agent does not run."
        ),
        run="machine.status:status",
        arguments=(
            UNITS,
            Argument(flag="--problems", help="list only units that differ from the documents or have a note"),
            JSON,
        ),
        examples=(
            ("ordainctl status", "everything"),
            ("ordainctl status web", "one service"),
            ("ordainctl status --problems", "what to look at"),
        ),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED),
    ),
    Subcommand(
        name="watch",
        group=GROUP,
        purpose="print changes of the status as they happen",
        text="Runs until it is interrupted. With --json, prints the whole status as one line of JSON for every change.",
        run="machine.status:watch",
        arguments=(JSON,),
        examples=(("ordainctl watch", "in a terminal beside your editor"),),
    ),
    Subcommand(
        name="show",
        group=GROUP,
        purpose="print the document that all matching layers merge into",
        text="Prints the merged document of the generation in force.",
        run="machine.explain:show",
        arguments=(
            Argument(
                flag="--provenance",
                help="print a line for each value: the layer and line that set it, and the values it overrides",
            ),
            JSON,
        ),
        examples=(("ordainctl show --provenance", "find the layer that sets a value"),),
    ),
    Subcommand(
        name="explain",
        group=GROUP,
        purpose="show where a unit, a file or a value comes from",
        text=(
            "UNIT has a suffix (web.service); PATH begins with a slash; POINTER is the place of a value in "
            "the document, without a first slash (services/web/limits/memory). For a unit, also shows its state and "
            "what an administrator's drop-in or mask changes. Exits with 3 for an item that is blocked."
        ),
        run="machine.explain:explain",
        arguments=(
            Argument(metavar="SUBJECT", help="UNIT, PATH or POINTER", required=True, completion=Completion.UNITS),
            JSON,
        ),
        examples=(
            ("ordainctl explain web.service", "every line of a unit"),
            ("ordainctl explain services/web/limits/memory", "one value"),
        ),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED),
    ),
    Subcommand(
        name="history",
        group=GROUP,
        purpose="list the changes of this machine and its generations, latest last",
        text=(
            "A line for each apply, rollback, hold and pause: the generation, the time, who asked for it and why, the "
            "jobs, and the documents that changed with their owner. --json also prints the plans, with the reasons of "
            "their jobs. "
            "The last 100 generations that worked are kept, and of older ones the last of each hour for two days and "
            "of each day for a month; those that were rolled back do not count."
        ),
        run="machine.generations:history",
        arguments=(*SINCE_UNTIL, COUNT, JSON),
        examples=(
            ("ordainctl history", "find the generation to roll back to"),
            ("ordainctl history --since Tue", "what changed since Tuesday, by whom and why"),
        ),
    ),
    Subcommand(
        name="diff",
        group=GROUP,
        purpose="show the differences between two generations",
        text=(
            "Without N, compares the generation in force with the documents as they are now; "
            "with N, generation N with the one in force; with N and M, generation N with M."
        ),
        run="machine.generations:diff",
        arguments=(
            Argument(metavar="N", completion=Completion.GENERATIONS, help="the number of a generation"),
            Argument(metavar="M", completion=Completion.GENERATIONS, help="the number of another generation"),
            EXIT_CODE,
            JSON,
        ),
        examples=(("ordainctl diff", "the changes of the next apply"), ("ordainctl diff 4 7", "two generations")),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.CHANGES),
    ),
    Subcommand(
        name="facts",
        group=GROUP,
        purpose="print the facts and labels that layers match on",
        text="",
        run="documents.match:facts",
        arguments=(JSON,),
        examples=(("ordainctl facts --json >web3.json", "for `render --facts web3.json` on another machine"),),
    ),
    Subcommand(
        name="doctor",
        group=GROUP,
        purpose="check that Ordain itself works here, and suggest remedies",
        text="Changes nothing. The result of each check is ok, warning or failed; exits with 1 if one failed.",
        run="machine.doctor:doctor",
        arguments=(JSON,),
        examples=(("ordainctl doctor", "the first command when something is wrong"),),
    ),
    Subcommand(
        name="boot-chart",
        group=GROUP,
        purpose="show how long each step of this boot took",
        text=(
            "Shows the start and the duration of each step of Ordain in this boot: the generators, the files, "
            "the takeover by the agent, and the first apply. `systemd-analyze critical-chain` shows the other units."
        ),
        run="machine.boot_chart:boot_chart",
        arguments=(JSON,),
        examples=(("ordainctl boot-chart", "after a slow boot"),),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE),
    ),
)
