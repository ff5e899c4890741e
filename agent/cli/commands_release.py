"""The commands of signed releases, and of the machines that take them."""

from __future__ import annotations

from ordain.agent.cli.arguments import JSON, SOME_FILES, STORE
from ordain.agent.cli.command import Argument, Command, Exit, Words
from ordain.agent.cli.commands_fleet import FLEET

RELEASES = "Releases"

KEY = Argument(flag="--key", metavar="FILE", words=Words.FILES, help="the private key to sign with")
CHANNEL = Argument(metavar="CHANNEL", required=True, help="a channel, such as stable or canary")
RELEASE = Argument(metavar="RELEASE", required=True, words=Words.FILES, help="the file of a release")
DOCUMENTS = Argument(
    metavar="FILE", many=True, words=Words.FILES, help="the documents it names, or a directory of them"
)
ABOUT = Argument(flag="--about", metavar="TEXT", help="what it changes, for people")
NUMBER = Argument(flag="--number", metavar="N", help="its number, when not the one after the channel's latest")
SHRINKS = Argument(flag="--shrinks", help="it is meant to take away most of what machines run; they refuse that else")
ROLLOUT = (
    Argument(flag="--splay", metavar="TIME", help="each machine waits its own share of this"),
    Argument(flag="--max-parallel", metavar="N", help="so many machines apply it at a time"),
    Argument(flag="--window", metavar="WINDOW", many=True, help='when machines may apply it: "Sat,Sun 02:00-05:00"'),
    Argument(flag="--stages", metavar="SHARES", help="shares of the machines, one after the other: 1%,10%,100%"),
    Argument(flag="--stop-at", metavar="SHARE", help="stop when more than this share of those that have it went back"),
    Argument(flag="--soak", metavar="TIME", help="how long a stage lasts at least"),
)

ROWS = (
    Command(
        name="release keygen",
        group=RELEASES,
        purpose="make a key to sign releases with",
        text=(
            "Writes NAME.key, which stays with you, and NAME.pub, one line for /etc/ordain/trust/ of every machine. "
            "To change keys, put the new one beside the old, sign with both (or the new one), and remove the old."
        ),
        run="release:keygen",
        arguments=(
            Argument(metavar="NAME", required=True, help="the name of the key, with a directory if you like"),
            Argument(flag="--passphrase", help="ask for a passphrase to lock the private key with"),
            Argument(flag="--channel", metavar="CHANNEL", many=True, help="it signs for this channel only"),
        ),
        examples=(
            ("ordainctl release keygen ops --passphrase", "ops.key and ops.pub"),
            ("ordainctl release keygen ci --channel canary", "for a machine that builds"),
        ),
    ),
    Command(
        name="release create",
        group=RELEASES,
        purpose="make a release of documents",
        text=(
            "Checks the documents as `ordainctl validate` does, and prints a manifest that names each by its SHA-256. "
            "Nothing is published. With --key it is signed. Releases in a directory that is named are left out: "
            "--output may lie there, for `ordainctl serve`. The number after that of the release it replaces is taken."
        ),
        run="release:create",
        arguments=(
            SOME_FILES,
            Argument(flag="--channel", metavar="CHANNEL", help="whose machines it is for; stable when absent"),
            NUMBER,
            ABOUT,
            *ROLLOUT,
            SHRINKS,
            KEY,
            Argument(flag="--output", metavar="FILE", words=Words.FILES, help="write there, not to standard output"),
            *STORE,
        ),
        examples=(
            ("ordainctl release create documents/ --channel canary --key ops.key --output canary.json", ""),
            (
                "ordainctl release create /srv/documents --key ops.key --output /srv/documents/stable.json",
                "again, where `ordainctl serve` looks",
            ),
            ("ordainctl release create documents/ --number 42 --stages 1%,10%,100% --stop-at 2%", ""),
        ),
    ),
    Command(
        name="release sign",
        group=RELEASES,
        purpose="sign a release",
        text="Adds a signature to the file. A machine takes a release that one of the keys it trusts has signed.",
        run="release:sign",
        arguments=(RELEASE, KEY),
        examples=(("ordainctl release sign canary.json --key ops.key", ""),),
    ),
    Command(
        name="release verify",
        group=RELEASES,
        purpose="check the signatures of a release, and the documents it names",
        text=(
            "By the keys that this machine trusts, or those given. RELEASE is a file, or CHANNEL or CHANNEL/NUMBER of "
            "the store, whose documents are checked then."
        ),
        run="release:verify",
        arguments=(
            Argument(metavar="RELEASE", required=True, words=Words.FILES, help="a file, CHANNEL, or CHANNEL/NUMBER"),
            DOCUMENTS,
            Argument(flag="--trust", metavar="FILE", many=True, words=Words.FILES, help="a public key to go by"),
            *STORE,
        ),
        examples=(
            ("ordainctl release verify canary.json documents/ --trust ops.pub", ""),
            ("ordainctl release verify stable", "what machines are offered"),
        ),
    ),
    Command(
        name="release publish",
        group=RELEASES,
        purpose="put a release and its documents into the store",
        text=(
            "The documents first, the channel last and by compare-and-set: machines see all of it or nothing. Run "
            "again after an interruption, it goes on. A channel never goes back: a rollback is a new number."
        ),
        run="release:publish_",
        arguments=(RELEASE, DOCUMENTS, *STORE),
        examples=(("ordainctl release publish canary.json documents/", ""),),
    ),
    Command(
        name="release promote",
        group=RELEASES,
        purpose="give the documents of one release to another channel, under a new number",
        text=(
            "Verifies the release by the keys that this machine trusts (or --trust), signs the new one and publishes "
            "it. FROM is CHANNEL or CHANNEL/NUMBER: an earlier number of the same channel is a rollback."
        ),
        run="release:promote",
        arguments=(
            Argument(metavar="FROM", into="origin", required=True, help="CHANNEL or CHANNEL/NUMBER"),
            Argument(metavar="TO", required=True, help="the channel to publish in"),
            KEY,
            Argument(flag="--trust", metavar="FILE", many=True, words=Words.FILES, help="a public key to go by"),
            NUMBER,
            ABOUT,
            *ROLLOUT,
            SHRINKS,
            *STORE,
        ),
        examples=(
            ("ordainctl release promote canary stable --key ops.key", "the canaries are well"),
            ("ordainctl release promote stable/41 stable --key ops.key", "back to 41, as a new number"),
        ),
    ),
    Command(
        name="release rollout",
        group=RELEASES,
        purpose="let the machines of a channel in stage by stage, and stop when too many go back",
        text=(
            "Reads what machines report, and opens the next stage when all that were let in are done and the stage has "
            "lasted as long as it is to; ends with the last stage, or when it stops. It can be interrupted and started "
            "again anywhere: meanwhile nobody else is let in. Exits 4 if the rollout is stopped."
        ),
        run="rollout:rollout",
        arguments=(
            CHANNEL,
            Argument(flag="--once", help="do one step, and end"),
            Argument(
                flag="--open", metavar="SHARE", help="let in this share of the machines now; resumes what stopped"
            ),
            Argument(flag="--stop", metavar="WHY", help="let nobody else in"),
            JSON,
            *STORE,
        ),
        examples=(
            ("ordainctl release rollout stable", "stay and watch"),
            ("ordainctl release rollout stable --stop slow-disks", ""),
            ("ordainctl release rollout stable --open 100%", "everybody, now"),
        ),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.ROLLED_BACK),
    ),
    Command(
        name="release list",
        group=RELEASES,
        purpose="list the releases in the store",
        text="By channel and number; the latest of each channel is what its machines go to.",
        run="release:list_",
        arguments=(JSON, *STORE),
        examples=(("ordainctl release list", ""),),
    ),
    Command(
        name="release show",
        group=RELEASES,
        purpose="print a release",
        text="As it is in the store: JSON.",
        run="release:show",
        arguments=(Argument(metavar="RELEASE", required=True, help="CHANNEL or CHANNEL/NUMBER"), *STORE),
        examples=(("ordainctl release show stable", ""), ("ordainctl release show stable/41", "")),
    ),
    Command(
        name="release prune",
        group=RELEASES,
        purpose="remove old releases from the store, and the documents that only they name",
        text=(
            "The latest and those before it stay, --keep of each channel; so do the one that a rollout is at, what any "
            "machine reports, and what a Node pins a machine to. Publishing waits meanwhile. It can be interrupted at "
            "any time, and done again."
        ),
        run="release:prune_",
        arguments=(
            Argument(metavar="CHANNEL", help="only releases of this channel go"),
            Argument(flag="--keep", metavar="N", help="so many of a channel stay in any case; 10 when absent"),
            Argument(flag="--dry-run", help="say what would go"),
            JSON,
            *STORE,
        ),
        examples=(
            ("ordainctl release prune --dry-run", ""),
            ("ordainctl release prune canary --keep 3", "a channel that is published to all day"),
        ),
    ),
    Command(
        name="release forget",
        group=RELEASES,
        purpose="let this machine take an older release of a channel than it had",
        text=(
            "A machine takes no release with a lower number than one it took before: an attacker could replay it. "
            "After a store was restored from a backup, or for a machine of another fleet, this forgets that number. "
            "What an image was built with stays."
        ),
        run="release:forget",
        arguments=(CHANNEL,),
        examples=(("ordainctl release forget stable", ""),),
    ),
    Command(
        name="fleet status",
        group=FLEET,
        purpose="show all machines that report to the store",
        text=(
            "A line a machine: the release and generation it has, its state, what is wrong, for how long it has lost "
            "its source, and when it was last heard of. Exits 3 if a machine is degraded, went back, or is lost."
        ),
        run="fleet:status",
        arguments=(
            Argument(flag="--label", metavar="KEY=VALUE", many=True, help="only machines with this label or fact"),
            Argument(flag="--watch", help="print again when something changes, until interrupted"),
            JSON,
            *STORE,
        ),
        examples=(("ordainctl fleet status", ""), ("ordainctl fleet status --label role=web --watch", "")),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED),
    ),
    Command(
        name="fleet show",
        group=FLEET,
        purpose="print all that a machine reports",
        text="",
        run="fleet:show",
        arguments=(
            Argument(metavar="MACHINE", required=True, help="a hostname, or the begin of a machine-id"),
            JSON,
            *STORE,
        ),
        examples=(("ordainctl fleet show web3", ""),),
    ),
    Command(
        name="fleet forget",
        group=FLEET,
        purpose="remove the report of a machine that is no more",
        text="A machine that is, reports again.",
        run="fleet:forget",
        arguments=(Argument(metavar="MACHINE", required=True, help="a hostname, or the begin of a machine-id"), *STORE),
        examples=(("ordainctl fleet forget web3", ""),),
    ),
)
