"""Arguments that several commands of ordainctl take alike (`table`)."""

from __future__ import annotations

from ordain.agent.cli.command import Argument, Words

JSON = Argument(flag="--json", help="print the result as JSON")
EXIT_CODE = Argument(flag="--exit-code", help="exit 7 when there is something to do, 0 when not")
FILES = Argument(
    metavar="FILE",
    many=True,
    words=Words.FILES,
    help="a document, a directory of them, or - for standard input",
)
SOME_FILES = Argument(
    metavar="FILE",
    many=True,
    required=True,
    words=Words.FILES,
    help="a document, a directory of them (*.yaml, *.json), or - for standard input",
)
UNITS = Argument(metavar="UNIT", many=True, words=Words.UNITS, help="a unit; web is web.service")
NODE = Argument(
    flag="--node",
    metavar="NAME",
    help="be the machine that Node document NAME describes, not the one with this hostname",
)
LABEL = Argument(flag="--label", metavar="KEY=VALUE", many=True, help="set a label, over every other source of labels")

ANY_MACHINE = (
    Argument(flag="--os", metavar="ID-VERSION", help="another operating system: debian-13, rhel-9, arch"),
    Argument(flag="--systemd", metavar="N", help="its systemd version, when not the one that system shipped with"),
    Argument(flag="--arch", metavar="ARCH", help="its architecture in systemd's spelling: x86-64, arm64"),
    LABEL,
    Argument(
        flag="--facts",
        metavar="FILE",
        words=Words.FILES,
        help="take the facts from FILE, as `ordainctl facts --json` prints",
    ),
    NODE,
)

STORE = (
    Argument(
        flag="--store",
        metavar="URL",
        help="the store, when not this machine's source: etcd+https://a:2379,b:2379/ordain/, "
        "couchdb+https://db:6984/ordain, or a directory",
    ),
    Argument(flag="--user", metavar="NAME", help="who to log in as, when not who the machine is"),
    Argument(
        flag="--password-file",
        metavar="FILE",
        words=Words.FILES,
        help="its password; else that of the machine in /etc/credstore, else you are asked",
    ),
)
