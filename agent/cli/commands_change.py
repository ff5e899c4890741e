"""The commands that change this machine, and the one that shows what would be changed."""

from __future__ import annotations

from ordain.agent.cli.arguments import EXIT_CODE, FILES, JSON
from ordain.agent.cli.command import Argument, Command, Exit, Words

CHANGE = "Change"
UNIT = Argument(metavar="UNIT", help="a unit; web is web.service", required=True, words=Words.UNITS)

ROWS = (
    Command(
        name="plan",
        group=CHANGE,
        purpose="show what an apply would do, and why",
        text="Without FILE, for the documents of this machine's source. Changes nothing.",
        run="apply:plan",
        arguments=(FILES, EXIT_CODE, JSON),
        examples=(
            ("ordainctl plan", ""),
            ("ordainctl plan --exit-code web.yaml >/dev/null || echo differs", "in a script"),
        ),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.BUSY, Exit.CHANGES),
    ),
    Command(
        name="apply",
        group=CHANGE,
        purpose="make the machine what the documents say",
        text=(
            "Without FILE, the documents of this machine's source. With FILE, these stand in for the source "
            "until that next changes, and the agent stops following the source (`ordainctl follow`) "
            "unless --once is given."
        ),
        run="apply:apply",
        arguments=(
            FILES,
            Argument(flag="--once", help="go on following the source afterwards"),
            Argument(
                flag="--confirm",
                metavar="SECONDS",
                help="go back after so long unless `ordainctl confirm` comes first; a power cut goes back, too",
            ),
            JSON,
        ),
        examples=(
            ("ordainctl apply", "do not wait for the agent"),
            ("ordainctl apply --once web.yaml", "try something"),
            ("ordainctl apply --confirm 60", "change the network you came by"),
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
    Command(
        name="confirm",
        group=CHANGE,
        purpose="keep what `ordainctl apply --confirm` put on trial",
        text="Until then no other change is applied. After the time is over it is refused: the machine is going back.",
        run="apply:confirm",
        examples=(("ordainctl confirm", "you are still here"),),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.BUSY),
    ),
    Command(
        name="rollback",
        group=CHANGE,
        purpose="go back to an earlier generation, and stay there until a document changes",
        text=(
            "Without N, to the one before; out of a trial, to what was in force before it. The machine also boots with "
            "it, and ignores the documents as they are now; `ordainctl follow` or `ordainctl apply` end that. "
            "If the generation fails now, the machine returns to where it was, and this exits 4."
        ),
        run="apply:rollback",
        arguments=(Argument(metavar="N", help="a generation's number (`ordainctl history`)"), JSON),
        examples=(("ordainctl rollback", "undo the last change"), ("ordainctl rollback 4", "")),
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
    Command(
        name="hold",
        group=CHANGE,
        purpose="leave a unit as it is, whatever the documents say, until `ordainctl unhold`",
        text=(
            "A hold lasts over reboots: a unit that does not run when it is held is started by no boot. "
            "Of a service, it is a hold on its socket and its timer too: they are left as they are, and where all of "
            "them are stopped, no boot starts any. `systemctl stop` needs no hold to last until "
            "the documents of that unit change or the machine reboots."
        ),
        run="hold:hold",
        arguments=(
            UNIT,
            Argument(flag="--unmask", help="lift the mask that the documents put on it, which systemctl cannot"),
            JSON,
        ),
        examples=(
            ("ordainctl hold web", "to work on it by hand"),
            ("ordainctl hold --unmask cups", "to use what the documents forbid"),
        ),
    ),
    Command(
        name="unhold",
        group=CHANGE,
        purpose="give a unit back to the documents, and bring it to what they want",
        text="`ordainctl status` shows which units are held.",
        run="hold:unhold",
        arguments=(
            UNIT,
            JSON,
        ),
        examples=(("ordainctl unhold web", ""),),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED, Exit.BUSY),
    ),
    Command(
        name="pause",
        group=CHANGE,
        purpose="apply no change of the documents until `ordainctl resume`",
        text="The services go on as they are. The pause lasts over reboots, until `ordainctl resume`.",
        run="apply:pause",
        examples=(("ordainctl pause", "before working on a machine by hand"),),
    ),
    Command(
        name="resume",
        group=CHANGE,
        purpose="end a pause, and apply what has changed meanwhile",
        text="",
        run="apply:resume",
        examples=(("ordainctl resume", ""),),
    ),
    Command(
        name="follow",
        group=CHANGE,
        purpose="follow the source again after `ordainctl apply FILE` or `ordainctl rollback`",
        text="",
        run="apply:follow",
        examples=(("ordainctl follow", ""),),
    ),
)
