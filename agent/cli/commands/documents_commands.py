"""The commands that work on documents alone: without root and without systemd."""

from __future__ import annotations

from ordain.agent.cli.commands.shared_arguments import ANY_MACHINE, DOCUMENT_FILES, FILES, JSON, OUTPUT_FILE, SOME_FILES
from ordain.agent.cli.commands.subcommand import Argument, Completion, Exit, Subcommand

GROUP = "Check documents, on any machine and without root"

ROWS = (
    Subcommand(
        name="validate",
        group=GROUP,
        purpose="check documents for errors of syntax and schema",
        text=(
            "Reads every FILE and reports all problems at once, sorted by place, each with a hint. Without FILE, "
            "checks the documents and the agent.yaml of this machine. "
            "A FILE named agent.yaml contains settings of the agent, see ordain-agent.yaml(5). Runs may be in XML. "
            "Of a directory, the Tests in its folder tests are checked, too. "
            "With --this-machine, the documents are compiled for this machine as well, and everything is reported that "
            "it cannot have or that would have no effect on it; the exit status is 3 if an item is blocked."
        ),
        run="documents.validate:validate",
        arguments=(
            FILES,
            Argument(flag="--this-machine", help="check also what this machine can have"),
            JSON,
        ),
        examples=(
            ("ordainctl validate /etc/ordain/documents", "all documents of this machine"),
            ("ordainctl validate - <web.yaml", "before a commit"),
            ("ordainctl validate --this-machine /etc/ordain/documents", "with this machine's units and accounts"),
            ("ordainctl validate /etc/ordain/agent.yaml", "the settings of the agent on this machine"),
        ),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED),
    ),
    Subcommand(
        name="test",
        group=GROUP,
        purpose="test documents: compare the results with expectations",
        text=(
            "Reads the documents in DIR, and the documents with `kind: Test` in DIR/tests. A Test names systems, "
            "labels, a host name or a Node, and what such a machine must get: layers, lines of units and files, codes "
            "of problems, or all files as in a golden text. "
            "An error or a blocked item that the Test does not name is a failure. "
            "Each failure is printed with the place of the expectation and, where it is known, the place of the cause. "
            "Parts of the documents that no test reaches are listed: layers that match no machine of a test, "
            "conditions of a `match` that each of these machines fulfils, and rows of Transforms that none uses. "
            "The exit status is 1 if a test fails. "
            "No machine reads Tests: sources, releases and stores take only files in DIR itself."
        ),
        run="documents.document_tests:test",
        arguments=(
            Argument(
                metavar="DIR",
                into="directory",
                required=True,
                completion=Completion.DIRECTORIES,
                help="a directory of documents with a folder tests",
            ),
            Argument(
                flag="--junit",
                metavar="FILE",
                completion=Completion.FILES,
                help="write the results to FILE as JUnit XML, for CI",
            ),
            Argument(
                flag="--min-coverage",
                metavar="PERCENT",
                help="fail if the tests reach a smaller share of the parts of the documents",
            ),
            Argument(flag="--only", metavar="NAME", many=True, help="run the tests of this name; may contain * and ?"),
            Argument(flag="--update", help="write the golden texts that differ; review the changes before a commit"),
            JSON,
        ),
        examples=(
            ("ordainctl test documents/", "before a commit"),
            ("ordainctl test --junit results.xml --min-coverage 80 documents/", "in CI"),
            ("ordainctl test --update --only 'web*' documents/", "after an intended change"),
        ),
    ),
    Subcommand(
        name="render",
        group=GROUP,
        purpose="print the files that documents result in, for any system",
        text=(
            "Prints `=== PATH MODE` and the content of every file, and `=== PATH -> TARGET` for a link. "
            "The PATH of a unit begins with normal/, early/ or late/, the generator directory that it is placed in; "
            "every other file has its absolute path. "
            "Without options, the facts and the installed units of this machine are used. "
            "With --all-os, prints groups of systems that get the same files, the largest group first, and the "
            "differences of every other group from the first; a line that begins with `!` is a problem."
        ),
        run="documents.render:render",
        arguments=(
            SOME_FILES,
            *ANY_MACHINE,
            Argument(flag="--all-os", help="render for every operating system that --os knows, and compare"),
            Argument(
                flag="--output",
                metavar="DIR",
                completion=Completion.DIRECTORIES,
                help="write the files below DIR, which must be empty or missing",
            ),
            Argument(flag="--netboot", help="print the iPXE script with which a machine boots from the network"),
            Argument(flag="--mac", metavar="MAC", help="with --netboot: the MAC address of the machine"),
            Argument(
                flag="--files",
                metavar="FILES",
                completion=Completion.DIRECTORIES,
                help="with --netboot: the directory of `ordainctl serve --files`, for documents that name an image",
            ),
            JSON,
        ),
        examples=(
            ("ordainctl render web.yaml", "for this machine"),
            ("ordainctl render --os fedora-41 --label role=web documents/", "for another machine"),
            ("ordainctl render --os rhel-9 --output /tmp/rhel9 documents/", "as files"),
            ("ordainctl render --all-os documents/", "before a change on a mixed fleet"),
            ("ordainctl render --netboot --mac 52:54:00:12:34:56 documents/", "its boot from the network"),
        ),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED),
    ),
    Subcommand(
        name="match",
        group=GROUP,
        purpose="list the layers that match a machine, and why others do not",
        text=(
            "Lists the lowest layer first; a layer overrides those above it in the list. "
            "Without FILE, uses the documents of this machine, from whatever source it has."
        ),
        run="documents.match:match",
        arguments=(FILES, *ANY_MACHINE, JSON),
        examples=(
            ("ordainctl match --os debian-13 --label role=db documents/", "the layers of a new database machine"),
        ),
    ),
    Subcommand(
        name="packages",
        group=GROUP,
        purpose="list the packages that documents want, on any system",
        text=(
            "Prints one package a line, as the package manager of the system takes it: with its version, if the "
            "documents name one. `ordainctl image --install` installs them in an image. "
            "Without FILE, uses the documents of this machine, from whatever source it has. "
            "The exit status is 3 if the system cannot have one of the packages."
        ),
        run="documents.packages:packages",
        arguments=(FILES, *ANY_MACHINE, JSON),
        examples=(
            ("ordainctl packages --os rocky-9 documents/", "what an image of Rocky Linux 9 needs"),
            ("ordainctl packages documents/", "what this machine needs"),
        ),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED),
    ),
    Subcommand(
        name="schema",
        group=GROUP,
        purpose="print the JSON Schema of documents or of agent.yaml",
        text=(
            "For editors and CI. Without KIND, prints one schema for all kinds of documents. The values of the shipped "
            "settings are described in it; a setting of your own may have any value there."
        ),
        run="documents.validate:schema",
        arguments=(
            Argument(
                metavar="KIND",
                help="Layer, Node, Transform, Release, Run or Test; agent for the settings in agent.yaml",
                choices=("Layer", "Node", "Transform", "Release", "Run", "Test", "agent"),
            ),
            Argument(flag="--json", help="accepted for consistency; the schema is always JSON"),
        ),
        examples=(("ordainctl schema Layer >layer.schema.json", "for a language server"),),
    ),
    Subcommand(
        name="import",
        group=GROUP,
        purpose="convert unit files, compose files, cloud-config, … to documents",
        text=(
            "Prints one Layer document. Reports on standard error every line that cannot be converted, with an "
            "alternative, and then exits with 3. The type of a file is detected from its name and content, "
            "unless --from names it. "
            "Names of units, users and paths are read as those of this machine, or of the machine in --root."
        ),
        run="documents.import_documents:import_",
        arguments=(
            Argument(
                metavar="FILE",
                many=True,
                completion=Completion.FILES,
                help="a file, a directory of unit files and drop-ins, or - for standard input",
            ),
            Argument(
                flag="--from",
                into="kind",
                metavar="KIND",
                help="the type of every FILE: units, cloud-config, netplan, quadlet, compose, fstab, sysctl, modules "
                "or ignition",
                choices=(
                    "units",
                    "cloud-config",
                    "netplan",
                    "quadlet",
                    "compose",
                    "fstab",
                    "sysctl",
                    "modules",
                    "ignition",
                ),
            ),
            Argument(
                flag="--root",
                into="tree",
                metavar="DIR",
                completion=Completion.DIRECTORIES,
                help="import a root file system: all units that are enabled, masked, or changed in /etc there",
            ),
            Argument(flag="--name", metavar="NAME", help="the name of the document; default: that of the first FILE"),
            OUTPUT_FILE,
        ),
        examples=(
            ("ordainctl import /etc/systemd/system/web.service", "one service"),
            ("ordainctl import --root / --output machine.yaml", "everything that this machine runs"),
            ("ordainctl import docker-compose.yml | ordainctl render -", "see the units first"),
        ),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED),
    ),
    Subcommand(
        name="image",
        group=GROUP,
        purpose="add documents to a root file system, for its first boot",
        text=(
            "Copies every FILE to the documents in the root file system DIR, and compiles all documents there, for the "
            "operating system that is installed there, into the baseline that the first boot starts with. "
            "Ordain must be installed in DIR. Root is needed only if root owns DIR. "
            "A second run writes only changed files; the same documents always give the same bytes. "
            "Some facts are known only in the boot (mac, machine-id, …); the agent then adds the layers that match. "
            "With --install, the package manager of the system in DIR first installs the packages of the documents "
            "there: apt of DIR itself, or dnf, zypper or pacman of this machine. "
            "With --netboot, the tree becomes an image that machines start from the network: its kernel, its initrd, "
            "and a compressed archive of it, with their digests. Documents may be in it or not. The initrd must be "
            "made with the package ordain-initramfs, curl and zstd in the tree. The same tree gives the same bytes "
            "(SOURCE_DATE_EPOCH limits the times in it), and the same bytes do not become another version."
        ),
        run="boot.image:image",
        arguments=(
            Argument(
                metavar="DIR",
                into="directory",
                required=True,
                completion=Completion.DIRECTORIES,
                help="the root file system: a chroot, a mounted image, or the tree of mkosi or mmdebstrap",
            ),
            DOCUMENT_FILES,
            Argument(flag="--install", help="install the packages of the documents in DIR"),
            Argument(
                flag="--netboot",
                metavar="FILES",
                completion=Completion.DIRECTORIES,
                help="add an image to the directory of `ordainctl serve --files`",
            ),
            Argument(
                flag="--name",
                metavar="NAME",
                help="with --netboot: the name of the image; default: the system in it, such as debian-13",
            ),
            JSON,
        ),
        examples=(
            ("ordainctl image /mnt web.yaml base.yaml", "add two documents to an image"),
            ("ordainctl image root documents/", "in a customize-hook of mmdebstrap"),
            ("ordainctl image root --netboot /srv/netboot", "for machines that boot from the network into RAM"),
        ),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED),
    ),
)
