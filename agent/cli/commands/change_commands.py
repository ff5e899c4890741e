"""The commands that change this machine, and `plan`, which shows the change."""

from __future__ import annotations

from ordain.agent.cli.commands.shared_arguments import ENDS, EXIT_CODE, FILES, JSON, UNIT, UNITS, WHY
from ordain.agent.cli.commands.subcommand import Argument, Completion, Exit, Subcommand

GROUP = "Change this machine"

ROWS = (
    Subcommand(
        name="init",
        group=GROUP,
        purpose="write a first document and agent.yaml, to be filled in",
        text=(
            "Writes /etc/ordain/documents/first.yaml and /etc/ordain/agent.yaml, if they do not exist yet. Both hold "
            "examples as comments, so nothing changes on the machine before you edit them."
        ),
        run="machine.init:init",
        arguments=(Argument(flag="--print", help="print the files instead"),),
        examples=(("ordainctl init", "on a new machine"), ("ordainctl init --print", "to look first")),
    ),
    Subcommand(
        name="plan",
        group=GROUP,
        purpose="show what an apply would do, and why; changes nothing",
        text="Without FILE, plans for the documents of the source of this machine.",
        run="machine.apply:plan",
        arguments=(FILES, EXIT_CODE, JSON),
        examples=(
            ("ordainctl plan", "the next apply"),
            ("ordainctl plan --exit-code web.yaml >/dev/null || echo differs", "in a script"),
        ),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.BUSY, Exit.CHANGES),
    ),
    Subcommand(
        name="apply",
        group=GROUP,
        purpose="bring the machine to the state that the documents describe",
        text=(
            "Without FILE, applies the documents of the source of this machine. With FILE, these documents replace "
            "all documents of the source. If that would remove an entry that is in force now, `apply` lists what "
            "stops, and asks on a terminal; elsewhere it needs --remove. To add to the documents of this machine, put "
            "the file in its source (/etc/ordain/documents) instead. The agent then stops following the source until "
            "`ordainctl follow`; with --once, only until the source changes. Exits with 3 if a unit or a value differs "
            "from the documents afterwards; these differences are listed, as `status` lists them."
        ),
        run="machine.apply:apply",
        arguments=(
            FILES,
            Argument(flag="--once", help="the next change of the source replaces FILE"),
            Argument(
                flag="--remove", help="do not ask before entries that are in force now, but not in FILE, are removed"
            ),
            Argument(flag="--nothing", help="apply FILE even if it holds no layer, which removes everything"),
            Argument(
                flag="--confirm",
                metavar="SECONDS",
                help="roll back after SECONDS, or at a power cut, unless `ordainctl confirm` comes first",
            ),
            JSON,
        ),
        examples=(
            ("ordainctl apply", "now, without waiting for the agent"),
            ("ordainctl apply --once web.yaml", "try a document"),
            ("ordainctl apply --confirm 60", "change the network that you are connected through"),
        ),
        statuses=(
            Exit.OK,
            Exit.REFUSED,
            Exit.USAGE,
            Exit.DEGRADED,
            Exit.ROLLED_BACK,
            Exit.INCOMPLETE,
            Exit.BUSY,
        ),
    ),
    Subcommand(
        name="confirm",
        group=GROUP,
        purpose="keep the changes of `ordainctl apply --confirm`",
        text=(
            "No other change is applied until the trial is confirmed or rolled back. After the time has run out, "
            "`confirm` is refused, because the machine is already rolling back."
        ),
        run="machine.apply:confirm",
        examples=(("ordainctl confirm", "you are still connected"),),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.BUSY),
    ),
    Subcommand(
        name="rollback",
        group=GROUP,
        purpose="roll back to an earlier generation, until a document changes",
        text=(
            "Without N, rolls back to the previous generation; during a trial, to the one before the trial. The "
            "machine also boots with it, and ignores the current documents until one of them changes, or until "
            "`ordainctl follow`. "
            "If that generation fails, the machine keeps the one that it has, and the exit status is 4."
        ),
        run="machine.apply:rollback",
        arguments=(
            Argument(
                metavar="N",
                completion=Completion.GENERATIONS,
                help="the number of a generation, from `ordainctl history`",
            ),
            WHY,
            JSON,
        ),
        examples=(("ordainctl rollback", "undo the last change"), ("ordainctl rollback 4", "to generation 4")),
        statuses=(
            Exit.OK,
            Exit.REFUSED,
            Exit.USAGE,
            Exit.DEGRADED,
            Exit.ROLLED_BACK,
            Exit.INCOMPLETE,
            Exit.BUSY,
        ),
    ),
    Subcommand(
        name="follow",
        group=GROUP,
        purpose="follow the documents again after a pause or a rollback",
        text=(
            "Ends `pause`, `rollback` and `apply FILE`: the machine follows its source again. Units that are held stay "
            "so, and are listed. With UNIT, brings that unit to the state in the documents: ends a hold, and "
            "starts or stops what an administrator stopped or started."
        ),
        run="machine.instructions:follow",
        arguments=(UNITS, JSON),
        examples=(
            ("ordainctl follow", "after a rollback, once the documents are corrected"),
            ("ordainctl follow web", "after a hold, or after `systemctl stop web`"),
        ),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED, Exit.ROLLED_BACK, Exit.INCOMPLETE, Exit.BUSY),
    ),
    Subcommand(
        name="hold",
        group=GROUP,
        purpose="leave a unit as it is, whatever the documents say",
        text=(
            "A hold lasts until `ordainctl follow UNIT`, also after reboots: a unit that is not running when it is "
            "held is not started by any boot. A hold on a service is also a hold on its socket and its timer: they "
            "are left as they are, and if all of them are stopped, no boot starts one. A plain `systemctl stop` lasts "
            "without a hold until the documents of that unit change or the machine reboots. With --for or --until the "
            "hold ends by itself: at that time if the clock of the machine is synchronized, and in any case after the "
            "machine has run for that time. `ordainctl status`, `explain`, `history` and `fleet status` show the "
            "author, the reason and the end of a hold."
        ),
        run="machine.instructions:hold",
        arguments=(
            UNIT,
            Argument(flag="--unmask", help="remove the mask of the documents, which `systemctl unmask` cannot do"),
            WHY,
            *ENDS,
            JSON,
        ),
        examples=(
            ("ordainctl hold web", "to work on the service manually"),
            ('ordainctl hold web --until "Mon 08:00" --why "the disk is replaced on Monday"', "over the weekend"),
            ("ordainctl hold --unmask cups", "to use a unit that the documents mask"),
        ),
    ),
    Subcommand(
        name="unhold",
        group=GROUP,
        purpose="end a hold: the older name of `ordainctl follow UNIT`",
        text="`ordainctl status` shows the units that are held.",
        run="machine.instructions:unhold",
        arguments=(UNIT, JSON),
        examples=(("ordainctl unhold web", "after the work"),),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED, Exit.BUSY),
    ),
    Subcommand(
        name="pause",
        group=GROUP,
        purpose="apply no changes of the documents until `ordainctl follow`",
        text=(
            "Services are not affected. The pause also lasts after reboots. With --for or --until it ends by itself, "
            "as `ordainctl hold` describes; a later `pause` replaces an earlier one."
        ),
        run="machine.instructions:pause",
        arguments=(WHY, *ENDS, JSON),
        examples=(
            ("ordainctl pause", "before working on a machine manually"),
            ('ordainctl pause --for 4h --why "a new kernel is tested"', "and go on if it is forgotten"),
        ),
    ),
    Subcommand(
        name="resume",
        group=GROUP,
        purpose="end a pause: the older name of `ordainctl follow`",
        text="",
        run="machine.instructions:resume",
        examples=(("ordainctl resume", "after the work"),),
    ),
)
