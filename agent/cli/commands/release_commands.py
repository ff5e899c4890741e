"""The commands that sign, publish and roll out releases: `ordainctl release …`."""

from __future__ import annotations

from ordain.agent.cli.commands.fleet_commands import GROUP
from ordain.agent.cli.commands.shared_arguments import JSON, SOME_FILES, STORE, TESTS, WHY
from ordain.agent.cli.commands.subcommand import Argument, Completion, Exit, Family, Subcommand

FAMILY = Family(
    name="release",
    group=GROUP,
    purpose="sign documents as a release, publish it, and roll it out",
    text=(
        "A release is a signed list of documents with a number in a channel. A machine applies all documents of a "
        "release, or none."
    ),
)
KEY = Argument(flag="--key", metavar="FILE", completion=Completion.FILES, help="the private key to sign with")
CHANNEL = Argument(metavar="CHANNEL", required=True, help="a channel, such as stable or canary")
RELEASE = Argument(metavar="RELEASE", required=True, completion=Completion.FILES, help="the file of a release")
DOCUMENTS = Argument(
    metavar="FILE",
    many=True,
    completion=Completion.FILES,
    help="a document of the release, or a directory of documents",
)
ABOUT = Argument(flag="--about", metavar="TEXT", help="a description of the change, for people")
NUMBER = Argument(
    flag="--number", metavar="N", help="the number of the release; default: one more than the latest of the channel"
)
SHRINKS = Argument(
    flag="--shrinks", help="allow the release to remove most services of a machine; machines refuse that otherwise"
)
TRUST = Argument(
    flag="--trust",
    metavar="FILE",
    many=True,
    completion=Completion.FILES,
    help="a public key to trust; default: the keys in /etc/ordain/trust",
)
ROLLOUT = (
    Argument(flag="--splay", metavar="TIME", help="delay every machine by its own part of TIME"),
    Argument(flag="--max-parallel", metavar="N", help="let at most N machines apply it at the same time"),
    Argument(
        flag="--window", metavar="WINDOW", many=True, help='apply it only in this window, such as "Sat,Sun 02:00-05:00"'
    ),
    Argument(flag="--stages", metavar="SHARES", help="roll it out to these shares of the machines: 1%,10%,100%"),
    Argument(
        flag="--stop-at",
        metavar="SHARE",
        help="stop if more than SHARE of the machines that have it, and at least two, rolled it back",
    ),
    Argument(flag="--soak", metavar="TIME", help="let every stage last at least TIME"),
    Argument(
        flag="--expires",
        metavar="TIME",
        help="let machines report when TIME, such as 30d, has passed without a newer release",
    ),
)

ROWS = (
    Subcommand(
        name="release keygen",
        group=FAMILY.name,
        purpose="create a key pair to sign releases with",
        text=(
            "Writes the private key NAME.key and the public key NAME.pub. Keep NAME.key secret; copy NAME.pub, one "
            "line, to /etc/ordain/trust/ on every machine. "
            "To replace a key: copy the new public key to the machines beside the old one, sign with the new key, or "
            "with both, and then delete the old one."
        ),
        run="store.release:keygen",
        arguments=(
            Argument(metavar="NAME", required=True, help="the name of the key; may contain a directory"),
            Argument(flag="--passphrase", help="ask for a passphrase that protects the private key"),
            Argument(
                flag="--channel", metavar="CHANNEL", many=True, help="restrict the key to releases of this channel"
            ),
            Argument(
                flag="--scope", metavar="SCOPE", many=True, help="restrict the key to documents in this scope: role=web"
            ),
        ),
        examples=(
            ("ordainctl release keygen ops --passphrase", "makes ops.key and ops.pub"),
            ("ordainctl release keygen ci --channel canary", "for a build server"),
        ),
    ),
    Subcommand(
        name="release create",
        group=FAMILY.name,
        purpose="create a release from documents",
        text=(
            "Checks the documents as `ordainctl validate` does, and prints a manifest with the SHA-256 of each. "
            "Nothing is published. With --key, the release is signed. Releases in the given directories are left out, "
            "so --output may be in one of them, for `ordainctl serve`. If --output exists, its number plus one is used."
        ),
        run="store.release:create",
        arguments=(
            SOME_FILES,
            Argument(flag="--channel", metavar="CHANNEL", help="the channel of the release; default: stable"),
            NUMBER,
            ABOUT,
            *ROLLOUT,
            SHRINKS,
            TESTS,
            KEY,
            Argument(
                flag="--output",
                metavar="FILE",
                completion=Completion.FILES,
                help="write the release to FILE instead of standard output",
            ),
            *STORE,
        ),
        examples=(
            (
                "ordainctl release create documents/ --channel canary --key ops.key --output canary.json",
                "to publish in a store",
            ),
            (
                "ordainctl release create /srv/documents --key ops.key --output /srv/documents/stable.json",
                "for `ordainctl serve`",
            ),
            (
                "ordainctl release create documents/ --number 42 --stages 1%,10%,100% --stop-at 2%",
                "to be signed later",
            ),
            (
                "ordainctl release create documents/ --tests documents/tests --key ops.key --output stable.json",
                "only if every test passes",
            ),
        ),
    ),
    Subcommand(
        name="release sign",
        group=FAMILY.name,
        purpose="sign a release",
        text="Adds a signature to the file. A machine accepts a release if it trusts one of the keys that signed it.",
        run="store.release:sign",
        arguments=(RELEASE, KEY),
        examples=(("ordainctl release sign canary.json --key ops.key", "adds a signature"),),
    ),
    Subcommand(
        name="release verify",
        group=FAMILY.name,
        purpose="check the signatures and the documents of a release",
        text=(
            "Uses the keys that this machine trusts, or those of --trust. RELEASE is a file, or CHANNEL or "
            "CHANNEL/NUMBER in the store; the documents in the store are checked as well."
        ),
        run="store.release:verify",
        arguments=(
            Argument(
                metavar="RELEASE", required=True, completion=Completion.FILES, help="a file, CHANNEL, or CHANNEL/NUMBER"
            ),
            DOCUMENTS,
            TRUST,
            JSON,
            *STORE,
        ),
        examples=(
            ("ordainctl release verify canary.json documents/ --trust ops.pub", "before it is published"),
            ("ordainctl release verify stable", "the release that machines get now"),
        ),
    ),
    Subcommand(
        name="release publish",
        group=FAMILY.name,
        purpose="write a release and its documents to the store",
        text=(
            "Writes the documents first and the channel last, so machines see either all of the release or nothing. "
            "After an interruption, a second run continues. The numbers of a channel only increase: to roll back, "
            "publish the old documents under a new number (`ordainctl release promote`)."
        ),
        run="store.release:publish_",
        arguments=(RELEASE, DOCUMENTS, TESTS, WHY, *STORE),
        examples=(("ordainctl release publish canary.json documents/", "machines of canary get it now"),),
    ),
    Subcommand(
        name="release promote",
        group=FAMILY.name,
        purpose="publish the documents of a release in another channel",
        text=(
            "Verifies the release FROM with the keys that this machine trusts (or --trust), and signs and publishes "
            "its documents in the channel TO under a new number. "
            "To roll a channel back, promote an earlier number of the same channel."
        ),
        run="store.release:promote",
        arguments=(
            Argument(metavar="FROM", into="origin", required=True, help="CHANNEL or CHANNEL/NUMBER"),
            Argument(metavar="TO", required=True, help="the channel to publish in"),
            KEY,
            TRUST,
            NUMBER,
            ABOUT,
            *ROLLOUT,
            SHRINKS,
            WHY,
            *STORE,
        ),
        examples=(
            ("ordainctl release promote canary stable --key ops.key", "after the canary machines are well"),
            ("ordainctl release promote stable/41 stable --key ops.key", "roll stable back to release 41"),
        ),
    ),
    Subcommand(
        name="release rollout",
        group=FAMILY.name,
        purpose="open a release to more machines, stage by stage",
        text=(
            "Reads the reports of the machines, and opens the next stage after all machines of the present one are "
            "done and the stage has lasted long enough. Ends after the last stage, or when too many machines have "
            "rolled back: more than the share --stop-at of the release, and at least two. It then stops the rollout, "
            "names the machines and exits with 4. One machine alone only keeps the next stage closed, until you "
            "overrule it with --ignore; in the last stage, the exit status is 3 then. It can be interrupted and "
            "started again, also elsewhere; in the meantime the rollout is open to no further machines."
        ),
        run="fleet.release_rollout:rollout",
        arguments=(
            CHANNEL,
            Argument(flag="--once", help="do one step and exit"),
            Argument(
                flag="--open",
                metavar="SHARE",
                help="open the rollout to this share of the machines now; also continues a stopped rollout",
            ),
            Argument(flag="--stop", metavar="REASON", help="stop the rollout: no further machine gets the release"),
            Argument(
                flag="--ignore",
                metavar="MACHINE",
                many=True,
                help="do not count the reports of this machine; also continues a rollout that reports have stopped",
            ),
            WHY,
            JSON,
            *STORE,
        ),
        examples=(
            ("ordainctl release rollout stable", "open all stages, one after the other"),
            ("ordainctl release rollout stable --stop slow-disks", "stop it"),
            ("ordainctl release rollout stable --open 100%", "open it to all machines now"),
            ("ordainctl release rollout stable --ignore web3", "web3 rolled back for a reason of its own"),
        ),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED, Exit.ROLLED_BACK),
    ),
    Subcommand(
        name="release list",
        group=FAMILY.name,
        purpose="list the releases in the store",
        text="Sorted by channel and number; the machines of a channel follow its latest release.",
        run="store.release:list_",
        arguments=(JSON, *STORE),
        examples=(("ordainctl release list", "all channels"),),
    ),
    Subcommand(
        name="release show",
        group=FAMILY.name,
        purpose="print a release of the store as JSON",
        text="",
        run="store.release:show",
        arguments=(
            Argument(metavar="RELEASE", required=True, help="CHANNEL or CHANNEL/NUMBER"),
            Argument(flag="--json", help="accepted for consistency; a release is always JSON"),
            *STORE,
        ),
        examples=(
            ("ordainctl release show stable", "the latest of the channel"),
            ("ordainctl release show stable/41", "an earlier one"),
        ),
    ),
    Subcommand(
        name="release prune",
        group=FAMILY.name,
        purpose="delete old releases and their documents from the store",
        text=(
            "Keeps the latest releases of each channel (--keep), the release of a current rollout, every release that "
            "a machine reports, and every release that a Node document pins. Documents are deleted when no remaining "
            "release uses them. Publishing waits while prune runs. It can be interrupted at any time and repeated."
        ),
        run="store.release:prune_",
        arguments=(
            Argument(metavar="CHANNEL", help="delete only releases of this channel"),
            Argument(flag="--keep", metavar="N", help="keep at least the latest N of each channel; default: 10"),
            Argument(flag="--dry-run", help="delete nothing; print what would be deleted"),
            JSON,
            *STORE,
        ),
        examples=(
            ("ordainctl release prune --dry-run", "see the effect first"),
            ("ordainctl release prune canary --keep 3", "a channel with many releases"),
        ),
    ),
    Subcommand(
        name="release forget",
        group=FAMILY.name,
        purpose="let this machine accept an older release again",
        text=(
            "A machine refuses a release with a lower number than one it has accepted before, because an attacker "
            "could replay an old one. Use this after a store was restored from a backup, or when a machine moves to "
            "another fleet: it deletes the recorded number of the channel. The number in an image remains."
        ),
        run="store.release:forget",
        arguments=(CHANNEL,),
        examples=(("ordainctl release forget stable", "after a restore of the store"),),
    ),
)
