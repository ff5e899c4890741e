"""The commands that show the machines of a store and serve documents to machines."""

from __future__ import annotations

from ordain.agent.cli.commands.shared_arguments import ENDS, JSON, MACHINE, MACHINE_OR_NONE, STORE, WHY
from ordain.agent.cli.commands.subcommand import Argument, Completion, Exit, Family, Subcommand

GROUP = "Manage many machines"
FAMILY = Family(
    name="fleet",
    group=GROUP,
    purpose="show the machines that report to a store",
    text="Machines whose source is a store write their status to it; these commands read it.",
)

_HELD = (
    MACHINE_OR_NONE,
    Argument(flag="--label", metavar="KEY=VALUE", help="all machines that report this label"),
    Argument(flag="--channel", metavar="CHANNEL", help="all machines of this channel"),
)

ROWS = (
    Subcommand(
        name="fleet status",
        group=FAMILY.name,
        purpose="list all machines that report to the store",
        text=(
            "Prints one line for each machine: its release and generation, its state, its conditions, how long it has "
            "been without its source, and the time since its last report. Reports that do not count are named "
            "below. Exits with 3 if a machine is degraded, rolled back or lost, or if others wrote in its name."
        ),
        run="fleet.fleet_status:status",
        arguments=(
            Argument(flag="--label", metavar="KEY=VALUE", many=True, help="only machines with this label or fact"),
            Argument(flag="--watch", help="print the list again after every change, until interrupted"),
            JSON,
            *STORE,
        ),
        examples=(
            ("ordainctl fleet status", "all machines"),
            ("ordainctl fleet status --label role=web --watch", "some machines, during a change"),
        ),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED),
    ),
    Subcommand(
        name="fleet show",
        group=FAMILY.name,
        purpose="print the whole report of one machine",
        text="",
        run="fleet.fleet_status:show",
        arguments=(MACHINE, JSON, *STORE),
        examples=(("ordainctl fleet show web3", "find out why it is degraded"),),
    ),
    Subcommand(
        name="fleet hold",
        group=FAMILY.name,
        purpose="have machines take no other release for a while",
        text=(
            "Holds a machine, all machines with a label, or all machines of a channel: they keep the release that "
            "they have until the hold ends by itself (--for, --until) or `ordainctl fleet follow` ends it. A second "
            "hold of the same subject replaces the first. `ordainctl fleet status` shows the author, the reason and "
            "the end, and so does `ordainctl status` on a machine that waits. A rollout does not count machines that "
            "are held, and does not go on while its channel is held. The end counts by the clock of each machine; a "
            "clock that shows a time before the beginning of the hold does not end it. Machines that take plain "
            "documents, and machines without a release, are not held."
        ),
        run="fleet.fleet_hold:hold",
        arguments=(*_HELD, WHY, *ENDS, *STORE, JSON),
        examples=(
            ('ordainctl fleet hold web3 --until "Mon 08:00" --why "its disk is replaced"', "one machine"),
            ('ordainctl fleet hold --label role=db --for 4h --why "a backup runs"', "all with a label"),
            ('ordainctl fleet hold --channel stable --why "no changes before the sale"', "a whole channel"),
        ),
    ),
    Subcommand(
        name="fleet follow",
        group=FAMILY.name,
        purpose="end a hold of the fleet",
        text="Machines take the latest release of their channel then, in the order of its rollout.",
        run="fleet.fleet_hold:follow",
        arguments=(*_HELD, WHY, *STORE),
        examples=(("ordainctl fleet follow web3", "after the work"),),
    ),
    Subcommand(
        name="fleet allow",
        group=FAMILY.name,
        purpose="write or print the list of the machines whose reports count",
        text=(
            "FILE has a machine-id on each line; the rest of a line, and what follows #, is for people. Once there is "
            "a list, reports of other machines are ignored: in a rollout, in previews of documents, and in "
            "`fleet status`, which says how many there are. The list is stored below releases/, where machines cannot "
            "write. Without FILE, prints how many machines are in the list."
        ),
        run="fleet.fleet_status:allow",
        arguments=(
            Argument(metavar="FILE", completion=Completion.FILES, help="the list, or - for standard input"),
            Argument(flag="--everybody", help="delete the list: every report counts"),
            JSON,
            *STORE,
        ),
        examples=(("ordainctl fleet allow machines.txt", "from an inventory"),),
    ),
    Subcommand(
        name="fleet forget",
        group=FAMILY.name,
        purpose="delete the report of a machine that no longer exists",
        text="A machine that still exists reports again. For a text that is not a report, give its key, status/….",
        run="fleet.fleet_status:forget",
        arguments=(MACHINE, *STORE),
        examples=(("ordainctl fleet forget web3", "after web3 was removed"),),
    ),
    Subcommand(
        name="serve",
        group=GROUP,
        purpose="serve a directory of documents to machines over HTTP",
        text=(
            "The reference boot server: sends every machine the documents that may match it, and sends them again "
            "when they change. Documents with errors are not served; the last valid ones are, and the machines "
            "report [ServerRefuses]. "
            "If the directory contains releases (`ordainctl release create --output`), a machine gets only the latest "
            "release of its channel and the documents in it, as soon as all of them have the signed content. "
            "With --root, an initrd that boots TREE also gets a compiled generation, so that the "
            "machine compiles nothing. That generation cannot be signed: anybody who can answer in place of the server "
            "decides what the machine boots. "
            'On a machine, set `source: {type: http, url: "https://HOST:8080/{machine-id}.yaml"}`. '
            "Everybody who reaches the server may read: use TLS and --client-ca for confidential documents. With "
            "--client-ca, the common name or a DNS name of a machine's certificate must be its machine-id or its host "
            "name. Documents that match on other machine-ids, host names or MAC addresses (written 52-54-00-12-34-56) "
            "than those in the certificate are not sent. "
            "A machine that boots from the network asks for /boot.ipxe, and gets the iPXE script that the `netboot` of "
            "its documents makes; /files/PATH is a kernel or initrd below the directory of --files. "
            "With --store, the server is a relay: machines with `source: {type: relay, endpoints: "
            "[https://HOST:8080]}` read the documents and releases of the store here, report their status, take their "
            "turns in rollouts and enroll, and need no login of the store. The relay holds no key that could sign for "
            "them. It keeps the last good copy of the store below --state, and serves that while the store does not "
            "answer. Run two for a site: machines that know both use either. "
            "With --tokens, /fleet/ is a page that shows the machines and their boots, and /api/v1/ has the same "
            "as JSON."
        ),
        run="boot.serve:serve",
        arguments=(
            Argument(
                metavar="DIR",
                completion=Completion.DIRECTORIES,
                help="the directory of documents; it is read again after changes",
            ),
            Argument(
                flag="--store",
                metavar="URL",
                help="instead of DIR: be a relay of this store, such as etcd+https://a:2379,b:2379/ordain/",
            ),
            *(argument for argument in STORE if argument.flag != "--store"),
            Argument(
                flag="--name",
                metavar="NAME",
                help="the name of this relay in `ordainctl fleet status`; default: the host name",
            ),
            Argument(
                flag="--listen",
                metavar="HOST:PORT",
                help="the address; default: 127.0.0.1:8080; `:8080` listens on all addresses",
            ),
            Argument(
                flag="--root",
                into="tree",
                metavar="TREE",
                completion=Completion.DIRECTORIES,
                help="the root file system that machines boot, to compile generations for",
            ),
            Argument(
                flag="--files",
                metavar="FILES",
                completion=Completion.DIRECTORIES,
                help="the directory of kernels and initrds for machines that boot from the network",
            ),
            Argument(
                flag="--state",
                metavar="STATE",
                completion=Completion.DIRECTORIES,
                help="a directory for the records of machines that boot from the network, so that their last good "
                "scripts outlast a restart, and `ordainctl netboot status` and `fleet discovered` show them",
            ),
            Argument(
                flag="--print-dnsmasq",
                metavar="FIRST,LAST",
                help="print a configuration of dnsmasq that gives machines an address of this range, iPXE, and the URL "
                "of this server; serve nothing",
            ),
            Argument(
                flag="--tls-cert",
                metavar="FILE",
                completion=Completion.FILES,
                help="serve HTTPS with this certificate (PEM)",
            ),
            Argument(
                flag="--tls-key", metavar="FILE", completion=Completion.FILES, help="the private key of the certificate"
            ),
            Argument(
                flag="--client-ca",
                metavar="FILE",
                completion=Completion.FILES,
                help=(
                    "accept only machines with a certificate of this authority, and send each only what is for the "
                    "names in it"
                ),
            ),
            Argument(
                flag="--tokens",
                metavar="FILE",
                completion=Completion.FILES,
                help="the file of `ordainctl netboot token`: those who may use the API below /api/v1/ and the page at "
                "/fleet/; default: nobody",
            ),
            Argument(
                flag="--max-per-address",
                metavar="N",
                help="the most connections of one address; default: a quarter of the limit of open files",
            ),
        ),
        examples=(
            ("ordainctl serve /srv/documents --listen :8080", "in a test network"),
            ("ordainctl serve /srv/documents --root /srv/ram-image", "for machines that boot into RAM"),
            (
                "ordainctl serve --store etcd+https://a:2379/ordain/ --user relay --password-file relay.password "
                "--state /var/lib/ordain-relay --listen :8443 --tls-cert srv.pem --tls-key srv.key",
                "a relay for a site",
            ),
            (
                "ordainctl serve /srv/documents --listen :8443 --tls-cert srv.pem --tls-key srv.key --client-ca ca.pem",
                "for known machines",
            ),
        ),
    ),
)
