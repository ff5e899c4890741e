"""The commands for the documents of a store, `ordainctl documents …`, and for the store itself, `ordainctl store …`."""

from __future__ import annotations

from ordain.agent.cli.commands.fleet_commands import GROUP
from ordain.agent.cli.commands.shared_arguments import EXIT_CODE, JSON, SOME_FILES, STORE, TESTS, WHY
from ordain.agent.cli.commands.subcommand import Argument, Completion, Exit, Family, Subcommand

FAMILY = Family(
    name="documents",
    group=GROUP,
    purpose="read and change the documents in a store",
    text=(
        "The store is the source of this machine, which may also be its local directory, or the one that --store names."
    ),
)
STORE_FAMILY = Family(
    name="store",
    group=GROUP,
    purpose="set up the store of a fleet, and check it",
    text="Databases, users and their rights, and the state of the members of a cluster.",
)
ACCOUNTS = (
    Argument(flag="--machine-user", metavar="NAME", help="the user that machines log in as; default: node"),
    Argument(
        flag="--writer-user",
        metavar="NAME",
        help="a user that writes documents and releases, without being an administrator of the server",
    ),
    Argument(
        flag="--relay-user",
        metavar="NAME",
        help="the user that relays (`ordainctl serve --store`) log in as; it writes what machines write, and no more",
    ),
)
_COPY = Argument(
    metavar="DIRECTORY", required=True, completion=Completion.DIRECTORIES, help="the directory of the backup"
)
NAME = Argument(
    metavar="NAME",
    required=True,
    completion=Completion.DOCUMENTS,
    help="a document, such as web; or layer/web if several documents are called web",
)
FORCE = Argument(
    flag="--force", help="write the documents even if some machines would refuse them, by their last reports"
)
PREVIEW = Argument(flag="--preview", help="write nothing; show the effect on every machine that reports to the store")
_ETCD = "etcd+https://a:2379/ordain/"

ROWS = (
    Subcommand(
        name="documents list",
        group=FAMILY.name,
        purpose="list the documents in a store",
        text="SCOPE is the place of a document in the store: a machine reads only the scopes that fit it.",
        run="store.stored_documents:list_",
        arguments=(*STORE, JSON),
        examples=(
            ("ordainctl documents list", "the store of this machine"),
            (f"ordainctl documents list --store {_ETCD}", "from any machine"),
        ),
    ),
    Subcommand(
        name="documents get",
        group=FAMILY.name,
        purpose="print a document as it was written",
        text="",
        run="store.document_history:get",
        arguments=(
            NAME,
            Argument(flag="--version", metavar="V", help="an earlier version, from `ordainctl documents history`"),
            *STORE,
            JSON,
        ),
        examples=(
            ("ordainctl documents get web >web.yaml", "save it to a file"),
            ("ordainctl documents get web --version 17 >web.yaml", "an earlier text, also of a deleted document"),
        ),
    ),
    Subcommand(
        name="documents put",
        group=FAMILY.name,
        purpose="write documents to a store",
        text=(
            "Checks all documents first, also together with those in the store; an error in one refuses all. Each "
            "document is written to the scopes that its `match` requires. A change that somebody else makes at the "
            "same time is never overwritten. Reports the machines that the change affects, of those that report to "
            "the store. If the documents conflict on one of them, nothing is written, and the machines are named."
        ),
        run="store.document_changes:put",
        arguments=(SOME_FILES, PREVIEW, TESTS, FORCE, WHY, *STORE, JSON),
        examples=(
            ("ordainctl documents put --preview web.yaml", "see the effect first"),
            ("ordainctl documents put web.yaml", "then write it"),
            ('ordainctl documents put web.yaml --why "more memory for the sale"', "`query changes` shows the reason"),
        ),
    ),
    Subcommand(
        name="documents delete",
        group=FAMILY.name,
        purpose="delete a document from a store",
        text="Reports the machines that this affects, of those that report to the store.",
        run="store.document_changes:delete",
        arguments=(NAME, PREVIEW, TESTS, WHY, *STORE, JSON),
        examples=(("ordainctl documents delete layer/web --preview", "see which machines use it"),),
    ),
    Subcommand(
        name="documents edit",
        group=FAMILY.name,
        purpose="edit a document in $EDITOR",
        text=(
            "If the new text has an error, or somebody else has changed the document in the meantime, nothing is "
            "written; a message names the file that keeps your text."
        ),
        run="store.document_changes:edit",
        arguments=(NAME, TESTS, FORCE, WHY, *STORE),
        examples=(("ordainctl documents edit web", "in the editor that $VISUAL or $EDITOR names"),),
    ),
    Subcommand(
        name="documents history",
        group=FAMILY.name,
        purpose="list the versions of a document, latest first",
        text=(
            "Lists the versions that the store still keeps: etcd since its last compaction, CouchDB until it compacts; "
            "a directory keeps none. The time, the author and the reason come from the log of the store; versions "
            "that other programs wrote have none. The log also has the deletions, and changes whose text the store has "
            "no longer: these have no version. A document that does not exist any more has a history as well."
        ),
        run="store.document_history:history",
        arguments=(NAME, *STORE, JSON),
        examples=(("ordainctl documents history web", "find the version before a change"),),
    ),
    Subcommand(
        name="documents diff",
        group=FAMILY.name,
        purpose="show the changes that `documents put` would write",
        text="",
        run="store.stored_documents:diff",
        arguments=(SOME_FILES, EXIT_CODE, JSON, *STORE),
        examples=(("ordainctl documents diff documents/", "a directory under version control against the store"),),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.CHANGES),
    ),
    Subcommand(
        name="store check",
        group=STORE_FAMILY.name,
        purpose="check the rights, members and size of a store",
        text=(
            "Changes nothing. Compares the users and their rights with those that a fleet needs, also for rights that "
            "machines should not have, and looks at every member: whether it answers, how full it is, and how far it "
            "is behind. Needs an administrator of the server, which is root for etcd. "
            "Exits with 3 if something deviates."
        ),
        run="store.store_setup:check",
        arguments=(*ACCOUNTS, *STORE, JSON),
        examples=((f"ordainctl store check --store {_ETCD} --user root", "before and after a change of the cluster"),),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED),
    ),
    Subcommand(
        name="store init",
        group=STORE_FAMILY.name,
        purpose="set up a store for a fleet: databases, users, rights",
        text=(
            "Prints each change first and asks. Repairs what `ordainctl store check` reports, as far as that takes no "
            "right from anybody; what exists is kept. A password file that does not exist is created with a random "
            "password. Exits with 3 if something is left for an administrator. In an etcd whose machines have users "
            "of their own, --slots own lets each of them write its own slot of a rollout (`max-parallel`) only: it "
            "takes the right to write the slots of others from all machines. Before that, upgrade all machines: "
            "earlier versions do not count these slots, and can take none any more. --slots shared undoes it."
        ),
        run="store.store_setup:init",
        arguments=(
            *ACCOUNTS,
            Argument(
                flag="--machine-password-file",
                metavar="FILE",
                completion=Completion.FILES,
                help="the password of the user of the machines, if that user has to be created",
            ),
            Argument(
                flag="--writer-password-file",
                metavar="FILE",
                completion=Completion.FILES,
                help="the password of --writer-user, if that user has to be created",
            ),
            Argument(
                flag="--relay-password-file",
                metavar="FILE",
                completion=Completion.FILES,
                help="the password of --relay-user, if that user has to be created",
            ),
            Argument(
                flag="--slots",
                metavar="KIND",
                choices=("own", "shared"),
                help="who writes the slots of rollouts: each machine its own, or all of them; without it, as before",
            ),
            Argument(flag="--preview", help="print the changes and make none"),
            Argument(flag="--yes", help="make the changes without a question"),
            *STORE,
        ),
        examples=(
            (f"ordainctl store init --store {_ETCD} --user root --machine-password-file node.password", "a new etcd"),
        ),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED),
    ),
    Subcommand(
        name="store policy",
        group=STORE_FAMILY.name,
        purpose="print or set the rules for changes of a store",
        text=(
            "With `required`, commands that change documents, releases, rollouts or holds in this store refuse to "
            "work without --why; on a terminal they ask for the reason. Programs that write without `ordainctl` can "
            "ignore it. The `why` of agent.yaml is the same rule for one machine. With --tests required, `documents "
            "put`, `delete` and `edit` and `release publish` run the Tests of --tests, else those in the folder tests "
            "beside the documents, and write nothing if one fails or there is none."
        ),
        run="store.store_setup:policy",
        arguments=(
            Argument(
                metavar="POLICY",
                choices=("required", "optional"),
                help="whether changes need a reason; without it and --tests, print the policy",
            ),
            Argument(
                flag="--tests",
                metavar="POLICY",
                choices=("required", "optional"),
                help="whether documents must pass tests before they are written",
            ),
            WHY,
            *STORE,
            JSON,
        ),
        examples=((f"ordainctl store policy required --store {_ETCD}", "nobody forgets the reason"),),
    ),
    Subcommand(
        name="store backup",
        group=STORE_FAMILY.name,
        purpose="copy the documents, releases and identities of a store to a directory",
        text=(
            "The copy is readable, the same for every kind of store, and complete: every release has its documents. "
            "`--store DIR` of other commands reads it. Reports and locks are left out, since machines write them again."
        ),
        run="store.store_backup:backup",
        arguments=(_COPY, *STORE),
        examples=((f"ordainctl store backup --store {_ETCD} /srv/backup/ordain", "a copy to keep elsewhere"),),
    ),
    Subcommand(
        name="store restore",
        group=STORE_FAMILY.name,
        purpose="write a backup into a store of any kind",
        text=(
            "Checks the backup first, prints what it will write and asks. Entries that the store holds in another "
            "version are overwritten only with --replace; entries that the backup does not have stay. Machines refuse "
            "releases older than the one they have [ReleaseReplayed]: publish a new one with a higher number. Join "
            "tokens that were not used yet are left out. A machine that was revoked or enrolled again in the store "
            "stays so."
        ),
        run="store.store_backup:restore",
        arguments=(
            _COPY,
            Argument(flag="--replace", help="overwrite entries that differ from the backup"),
            Argument(flag="--preview", help="print what would be written and write nothing"),
            Argument(flag="--yes", help="write without a question"),
            WHY,
            *STORE,
        ),
        examples=(
            (f"ordainctl store restore --store {_ETCD} /srv/backup/ordain", "after the loss of a cluster"),
            ("ordainctl store restore --store couchdb+https://db:6984/ordain /srv/backup/ordain", "to another kind"),
        ),
    ),
)
