"""Arguments that several commands of ordainctl share."""

from __future__ import annotations

from dataclasses import replace

from ordain.agent.cli.commands.subcommand import Argument, Completion

JSON = Argument(flag="--json", help="print the result as JSON")
EXIT_CODE = Argument(flag="--exit-code", help="exit with 7 if there are changes, with 0 if not")
FILES = Argument(
    metavar="FILE",
    many=True,
    completion=Completion.FILES,
    help="a document, a directory of documents, or - for standard input",
)
SOME_FILES = Argument(
    metavar="FILE",
    many=True,
    required=True,
    completion=Completion.FILES,
    help="a document, a directory of documents (*.yaml, *.yml, *.json), or - for standard input",
)
UNIT = Argument(
    metavar="UNIT", required=True, completion=Completion.UNITS, help="a unit; `web` is short for web.service"
)
UNITS = Argument(metavar="UNIT", many=True, completion=Completion.UNITS, help="a unit; `web` is short for web.service")
MACHINE = Argument(metavar="MACHINE", required=True, help="a hostname, or the first characters of a machine-id")
MACHINE_OR_NONE = replace(MACHINE, required=False)
DOCUMENT_FILES = Argument(
    metavar="FILE", many=True, completion=Completion.FILES, help="a document, or a directory of documents"
)
OUTPUT_FILE = Argument(
    flag="--output",
    metavar="FILE",
    completion=Completion.FILES,
    help="write the document to FILE instead of standard output",
)
LABEL = Argument(
    flag="--label", metavar="KEY=VALUE", many=True, help="set a label; overrides labels from all other places"
)
TESTS = Argument(
    flag="--tests",
    metavar="DIR",
    many=True,
    completion=Completion.DIRECTORIES,
    help="a directory of Tests that the documents must pass, else nothing is written",
)
WHY = Argument(flag="--why", metavar="REASON", help="the reason, which others can read")
ENDS = (
    Argument(flag="--for", metavar="SPAN", into="lasts", help="end after SPAN, such as 4h or 90min"),
    Argument(flag="--until", metavar="TIME", help='end at TIME, such as "Mon 08:00", "18:00" or "2026-12-24 18:00"'),
)
"""The options that end an instruction by itself."""
COUNT = Argument(flag="--count", help="print only the number of results")
SINCE_UNTIL = (
    Argument(flag="--since", metavar="TIME", help='from TIME on, such as "Tue 08:00", yesterday or "3h ago"'),
    Argument(flag="--until", metavar="TIME", help="before TIME"),
)
ANY_MACHINE = (
    Argument(
        flag="--os",
        metavar="ID-VERSION",
        completion=Completion.SYSTEMS,
        help="another operating system, such as debian-13, rhel-9, arch; `ordainctl help systems` lists them",
    ),
    Argument(flag="--systemd", metavar="N", help="another systemd version than the operating system ships"),
    Argument(flag="--arch", metavar="ARCH", help="the architecture in systemd's spelling, such as x86-64, arm64"),
    LABEL,
    Argument(
        flag="--facts",
        metavar="FILE",
        completion=Completion.FILES,
        help="read the facts from FILE, the output of `ordainctl facts --json`",
    ),
    Argument(
        flag="--fact",
        metavar="NAME=VALUE",
        many=True,
        help="set a fact, such as cpus=8, gpu=nvidia or facts.rack=r12; with --netboot, one that iPXE sends",
    ),
    Argument(
        flag="--node", metavar="NAME", help="use the machine that the Node document NAME describes instead of this one"
    ),
)
"""The options that describe another machine than this one."""

STORE = (
    Argument(
        flag="--store",
        metavar="URL",
        help="the store, such as etcd+https://a:2379,b:2379/ordain/, couchdb+https://db:6984/ordain, or a directory; "
        "default: $ORDAIN_STORE, or the source of this machine",
        environment="ORDAIN_STORE",
    ),
    Argument(
        flag="--user",
        metavar="NAME",
        help="the user to log in as; default: $ORDAIN_USER, or the user of this machine",
        environment="ORDAIN_USER",
    ),
    Argument(
        flag="--ca",
        metavar="FILE",
        completion=Completion.FILES,
        help="the authorities that may sign the certificate of the store; default: those of this machine",
    ),
    Argument(
        flag="--password-file",
        metavar="FILE",
        completion=Completion.FILES,
        help="the file with the password; default: $ORDAIN_PASSWORD_FILE, the credential of this machine in "
        "/etc/credstore, or a question on the terminal",
        environment="ORDAIN_PASSWORD_FILE",
    ),
)
"""The options that name a store of documents and the login for it."""
