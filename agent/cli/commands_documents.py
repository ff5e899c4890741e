"""The commands that are about the documents of a store."""

from __future__ import annotations

from ordain.agent.cli.arguments import EXIT_CODE, JSON, SOME_FILES, STORE
from ordain.agent.cli.command import Argument, Command, Exit

STORED = "Documents in a store, or in this machine's own directory"

NAME = Argument(metavar="NAME", required=True, help="a document: web, or layer/web where there are several web")
PREVIEW = Argument(flag="--preview", help="write nothing; tell what would become of it on every machine that reports")
_ETCD = "etcd+https://a:2379/ordain/"

ROWS = (
    Command(
        name="documents list",
        group=STORED,
        purpose="list the documents of a store",
        text="SCOPE is where a document lies: what a machine must be to read it.",
        run="documents_read:list_",
        arguments=(*STORE, JSON),
        examples=(("ordainctl documents list", ""), (f"ordainctl documents list --store {_ETCD}", "from anywhere")),
    ),
    Command(
        name="documents get",
        group=STORED,
        purpose="print a document of a store as it was written",
        text="",
        run="documents_read:get",
        arguments=(
            NAME,
            Argument(flag="--version", metavar="V", help="as it was then; `ordainctl documents history` lists them"),
            *STORE,
            JSON,
        ),
        examples=(("ordainctl documents get web >web.yaml", ""),),
    ),
    Command(
        name="documents put",
        group=STORED,
        purpose="write documents to a store",
        text=(
            "All are checked first, also against those that are there; one that is wrong refuses all. Each goes where "
            "the machines that it is for will look, by its `match`. Nothing is written over a change that "
            "somebody else makes meanwhile. Tells which machines it touches, of those that report there."
        ),
        run="documents_write:put",
        arguments=(SOME_FILES, PREVIEW, *STORE, JSON),
        examples=(
            ("ordainctl documents put --preview web.yaml", "what would happen"),
            ("ordainctl documents put web.yaml", ""),
        ),
    ),
    Command(
        name="documents delete",
        group=STORED,
        purpose="remove a document from a store",
        text="Tells which machines that touches, of those that report there.",
        run="documents_write:delete",
        arguments=(NAME, PREVIEW, *STORE, JSON),
        examples=(("ordainctl documents delete layer/web --preview", "who would miss it"),),
    ),
    Command(
        name="documents edit",
        group=STORED,
        purpose="edit a document of a store in $EDITOR",
        text=(
            "What is wrong, or was changed by somebody else meanwhile, is shown and not written; your text is kept "
            "in the file that is named then."
        ),
        run="documents_write:edit",
        arguments=(NAME, *STORE),
        examples=(("ordainctl documents edit web", ""),),
    ),
    Command(
        name="documents history",
        group=STORED,
        purpose="list the versions of a document that its store still has, latest first",
        text="etcd has them back to its last compaction, CouchDB until it compacts; a directory has none.",
        run="documents_read:history",
        arguments=(NAME, *STORE, JSON),
        examples=(("ordainctl documents history web", ""),),
    ),
    Command(
        name="documents diff",
        group=STORED,
        purpose="show what `documents put` would change in a store",
        text="",
        run="documents_read:diff",
        arguments=(SOME_FILES, EXIT_CODE, *STORE),
        examples=(("ordainctl documents diff documents/", "a directory under version control against the store"),),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.CHANGES),
    ),
)
