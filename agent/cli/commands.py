"""The commands of ordainctl: the one list that the parser, the help, the completion and the manual follow."""

from __future__ import annotations

from ordain.agent.cli import commands_change, commands_documents, commands_fleet, commands_release
from ordain.agent.cli.arguments import ANY_MACHINE, EXIT_CODE, FILES, JSON, SOME_FILES, UNITS
from ordain.agent.cli.command import Argument, Command, Exit, Words

DOCUMENTS = "Documents, without root and without systemd"
MACHINE = "This machine"
CHANGE = commands_change.CHANGE

_ROWS = (
    Command(
        name="validate",
        group=DOCUMENTS,
        purpose="check documents for problems of syntax and schema",
        text=(
            "Reads every FILE and prints all problems at once, by place, with a hint each. "
            "A FILE named agent.yaml holds settings of the agent, see ordain-agent.yaml(5)."
        ),
        run="render:validate",
        arguments=(SOME_FILES, JSON),
        examples=(
            ("ordainctl validate /etc/ordain/documents", "all documents of this machine"),
            ("ordainctl validate - <web.yaml", "before a commit"),
            ("ordainctl validate /etc/ordain/agent.yaml", "the settings of this machine's agent"),
        ),
    ),
    Command(
        name="render",
        group=DOCUMENTS,
        purpose="print the units that documents become, on this machine or any other",
        text=(
            "Prints `=== PATH MODE` and the content of every file, and `=== PATH -> TARGET` for a link. "
            "PATH begins with normal/, early/ or late/, the generator directory it is placed in; "
            "any other file has its absolute path. "
            "Without options the facts and the installed units are this machine's. "
            "With --all-os, prints the systems in groups that get the same, the largest group first, and for each "
            "other group how it differs from that; a line that begins with `!` is a problem."
        ),
        run="render:render",
        arguments=(
            SOME_FILES,
            *ANY_MACHINE,
            Argument(
                flag="--all-os",
                help="every operating system that --os knows: which get the same, and how others differ",
            ),
            Argument(
                flag="--output",
                metavar="DIR",
                words=Words.DIRECTORIES,
                help="write a tree below DIR, which must be empty or absent",
            ),
            JSON,
        ),
        examples=(
            ("ordainctl render web.yaml", "for this machine"),
            ("ordainctl render --os fedora-41 --label role=web documents/", "for a machine you do not have"),
            ("ordainctl render --os rhel-9 --output /tmp/rhel9 documents/", "as files"),
            ("ordainctl render --all-os documents/", "before a change goes to a mixed fleet"),
        ),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED),
    ),
    Command(
        name="match",
        group=DOCUMENTS,
        purpose="tell which layers apply to a machine, in order, and why the others do not",
        text="Lowest layer first: what stands further down wins. Without FILE, this machine's documents.",
        run="match:match",
        arguments=(FILES, *ANY_MACHINE, JSON),
        examples=(
            (
                "ordainctl match --os debian-13 --label role=db documents/",
                "what a new database machine would get",
            ),
        ),
    ),
    Command(
        name="schema",
        group=DOCUMENTS,
        purpose="print the JSON Schema of the documents, or of agent.yaml",
        text="For editors and CI. Without KIND, prints one schema for all kinds of documents.",
        run="render:schema",
        arguments=(
            Argument(
                metavar="KIND",
                help="Layer, Node, Transform or Release; agent for the settings in agent.yaml",
                choices=("Layer", "Node", "Transform", "Release", "agent"),
            ),
            Argument(flag="--json", help="print JSON; it always does"),
        ),
        examples=(("ordainctl schema Layer >layer.schema.json", "for a language server"),),
    ),
    Command(
        name="import",
        group=DOCUMENTS,
        purpose="turn what you have into documents: unit files, cloud-config, quadlets, compose files, fstab",
        text=(
            "Prints one Layer document. What it could not carry is said on standard error, line by line, with what "
            "to do instead; then it exits 3. What a file is, its name and content say, unless --from does. "
            "Names of units, users and paths are understood as this machine's, or those of --root."
        ),
        run="import_documents:import_",
        arguments=(
            Argument(
                metavar="FILE",
                many=True,
                words=Words.FILES,
                help="a file, a directory of unit files and drop-ins, or - for standard input",
            ),
            Argument(
                flag="--from",
                into="kind",
                metavar="KIND",
                help="what every FILE is",
                choices=("units", "cloud-config", "quadlet", "compose", "fstab"),
            ),
            Argument(
                flag="--root",
                into="tree",
                metavar="DIR",
                words=Words.DIRECTORIES,
                help="a whole root file system: all that is enabled there, masked, or changed in /etc",
            ),
            Argument(flag="--name", metavar="NAME", help="the name of the document, when not that of the first FILE"),
            Argument(
                flag="--output",
                metavar="FILE",
                into="output",
                words=Words.FILES,
                help="write there, not to standard output",
            ),
        ),
        examples=(
            ("ordainctl import /etc/systemd/system/web.service", "one service"),
            ("ordainctl import --root / --output machine.yaml", "what this machine runs"),
            ("ordainctl import docker-compose.yml | ordainctl render -", "what would become of it"),
        ),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED),
    ),
    Command(
        name="image",
        group=DOCUMENTS,
        purpose="bake documents into a root file system that does not run, so that its first boot has them",
        text=(
            "Puts every FILE among the documents of the root file system DIR and compiles all that are there, for the "
            "system that is installed there, into the baseline that its first boot starts with. "
            "Ordain must be installed in DIR. Needs root only if DIR is root's. "
            "Run again, it writes only what changed; the same documents make the same bytes. "
            "What documents match on and only a boot knows (mac, machine-id, …), the agent adds in the first boot."
        ),
        run="image:image",
        arguments=(
            Argument(
                metavar="DIR",
                into="directory",
                required=True,
                words=Words.DIRECTORIES,
                help="the root file system: a chroot, a mounted image, the tree that mkosi or mmdebstrap makes",
            ),
            Argument(metavar="FILE", many=True, words=Words.FILES, help="a document, or a directory of them"),
            JSON,
        ),
        examples=(
            ("ordainctl image /mnt web.yaml base.yaml", "two documents more in an image"),
            ("ordainctl image root documents/", "as a customize-hook of mmdebstrap, in its directory"),
        ),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED),
    ),
    Command(
        name="facts",
        group=MACHINE,
        purpose="print what this machine is: the facts and labels that documents match on",
        text="",
        run="render:facts",
        arguments=(JSON,),
        examples=(("ordainctl facts --json >web3.json", "for `render --facts web3.json` elsewhere"),),
    ),
    Command(
        name="status",
        group=MACHINE,
        purpose="show the state of the machine and of every unit the documents speak of",
        text=(
            "First the generation, where the documents come from and what is wrong; then one line a unit: "
            "what the documents want, what it is, and why it is left alone if it is. "
            "Works without the agent, too."
        ),
        run="status:status",
        arguments=(UNITS, JSON),
        examples=(("ordainctl status", "everything"), ("ordainctl status web", "one service")),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED),
    ),
    Command(
        name="watch",
        group=MACHINE,
        purpose="print what changes, as it changes, until interrupted",
        text="With --json, the whole status as one line of JSON for every change.",
        run="status:watch",
        arguments=(JSON,),
        examples=(("ordainctl watch", "beside an editor"),),
    ),
    Command(
        name="show",
        group=MACHINE,
        purpose="print the one document that all layers resolve to on this machine",
        text="The document of the generation in force.",
        run="explain:show",
        arguments=(
            Argument(
                flag="--provenance",
                help="a line for each value: which layer and line set it, and what that overrode",
            ),
            JSON,
        ),
        examples=(("ordainctl show --provenance", "who said what"),),
    ),
    Command(
        name="explain",
        group=MACHINE,
        purpose="tell where a unit, a file or a value comes from, and what became of it",
        text=(
            "UNIT has a suffix (web.service); PATH begins with a slash; POINTER is the place of a value in "
            "the document, without its first slash (services/web/limits/memory). For a unit, also what "
            " an administrator's drop-in or mask changes."
        ),
        run="explain:explain",
        arguments=(
            Argument(metavar="SUBJECT", help="UNIT, PATH or POINTER", required=True, words=Words.UNITS),
            JSON,
        ),
        examples=(
            ("ordainctl explain web.service", "every line of it"),
            ("ordainctl explain services/web/limits/memory", "one value"),
        ),
    ),
    Command(
        name="history",
        group=MACHINE,
        purpose="list the generations of this machine, latest last",
        text="With what each took; --json has the whole of it, plan and causes.",
        run="status:history",
        arguments=(JSON,),
        examples=(("ordainctl history", ""),),
    ),
    Command(
        name="diff",
        group=MACHINE,
        purpose="show what differs between two generations",
        text=(
            "Without N, from the generation in force to the documents as they are now; "
            "with N, from generation N to the one in force; with N and M, from N to M."
        ),
        run="apply:diff",
        arguments=(
            Argument(metavar="N", help="a generation's number"),
            Argument(metavar="M", help="another generation's number"),
            EXIT_CODE,
            JSON,
        ),
        examples=(("ordainctl diff", "what the next apply would write"), ("ordainctl diff 4 7", "")),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.CHANGES),
    ),
    Command(
        name="doctor",
        group=MACHINE,
        purpose="check that Ordain itself is in order here, and say what to do where it is not",
        text="Reads only. Each check is ok, a warning, or failed; it exits 1 when one failed.",
        run="doctor:doctor",
        arguments=(JSON,),
        examples=(("ordainctl doctor", "first thing at 3 a.m."),),
    ),
    Command(
        name="boot-chart",
        group=MACHINE,
        purpose="show where the time of this boot went",
        text=(
            "Each step of Ordain in this boot, when it began and how long it took: the generators, the files, "
            "the takeover by the agent, the first converge. `systemd-analyze critical-chain` has the rest."
        ),
        run="boot_chart:boot_chart",
        arguments=(JSON,),
        examples=(("ordainctl boot-chart", "after a boot that seemed slow"),),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE),
    ),
)

COMMANDS = {
    row.name: row
    for row in (*_ROWS, *commands_change.ROWS, *commands_documents.ROWS, *commands_release.ROWS, *commands_fleet.ROWS)
}
GROUPS = (DOCUMENTS, MACHINE, CHANGE, commands_documents.STORED, commands_release.RELEASES, commands_fleet.FLEET)
