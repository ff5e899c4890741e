"""The commands for machines that boot from the network."""

from __future__ import annotations

from dataclasses import replace

from ordain.agent.cli.commands.fleet_commands import GROUP
from ordain.agent.cli.commands.shared_arguments import JSON
from ordain.agent.cli.commands.subcommand import Argument, Completion, Exit, Family, Subcommand

FAMILY = Family(
    name="netboot",
    group=GROUP,
    purpose="show the images for machines that boot from the network",
    text="`ordainctl image --netboot` makes the images, and `ordainctl serve --files` serves them.",
)
IMAGE_FILES = Argument(
    metavar="FILES",
    into="files",
    required=True,
    completion=Completion.DIRECTORIES,
    help="the directory of `ordainctl serve --files`",
)
STATE = Argument(
    metavar="STATE",
    into="state",
    required=True,
    completion=Completion.DIRECTORIES,
    help="the directory of `ordainctl serve --state`",
)
STATE_OPTION = replace(STATE, flag="--state", into="")

ROWS = (
    Subcommand(
        name="netboot images",
        group=FAMILY.name,
        purpose="list the images that machines can start from the network",
        text=(
            "Prints name and version, the beginning of the digest, the system in the image, and its size. `--json` "
            "has the whole reference, which `netboot: {image: …}` takes: with the digest, no other bytes are started."
        ),
        run="boot.netboot_images:images",
        arguments=(IMAGE_FILES, JSON),
        examples=(("ordainctl netboot images /srv/netboot", "all images"),),
    ),
    Subcommand(
        name="netboot prune",
        group=FAMILY.name,
        purpose="remove images that no document and no machine uses",
        text=(
            "Keeps the versions that DIR names, those in the scripts of machines in STATE, which may run them or boot "
            "them again, and the latest versions of each name. If a document has the image from a template, nothing "
            "is removed, because no version can be ruled out."
        ),
        run="boot.netboot_images:prune",
        arguments=(
            IMAGE_FILES,
            Argument(
                flag="--documents",
                metavar="DIR",
                required=True,
                completion=Completion.DIRECTORIES,
                help="the documents that `ordainctl serve` serves",
            ),
            STATE_OPTION,
            Argument(flag="--keep", metavar="N", help="keep the latest N versions of each name; default: 2"),
            Argument(flag="--dry-run", help="remove nothing"),
            JSON,
        ),
        examples=(
            ("ordainctl netboot prune /srv/netboot --documents /srv/documents --state /srv/state", "once a week"),
        ),
    ),
    Subcommand(
        name="netboot status",
        group=FAMILY.name,
        purpose="list the machines that boot from the network",
        text=(
            "Prints the Node, the image in the last good script, and the last request of each machine, and if one has "
            "an image on its disk, that image and when the machine last said so. Then come the machines that wait for "
            "their turn in a rollout, and the problems that keep a machine from a newer script. Exits with 3 if there "
            "are any."
        ),
        run="boot.netboot_machines:status",
        arguments=(STATE, JSON),
        examples=(("ordainctl netboot status /var/lib/netboot", "all machines"),),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED),
    ),
    Subcommand(
        name="fleet relay",
        group=FAMILY.name,
        purpose="show the state of a relay on this machine",
        text=(
            "Prints the store of `ordainctl serve --store`, whether it answers, the age of the last good copy, and the "
            "reports that wait for the store. Exits with 3 if the store does not answer, reports were dropped or are "
            "not taken, or the relay does not run."
        ),
        run="boot.relay_state:relay",
        arguments=(STATE, JSON),
        examples=(("ordainctl fleet relay /var/lib/ordain-relay", "on the host of the relay"),),
        statuses=(Exit.OK, Exit.REFUSED, Exit.USAGE, Exit.DEGRADED),
    ),
    Subcommand(
        name="netboot token",
        group=FAMILY.name,
        purpose="make a token for the API and the page of a boot server",
        text=(
            "Prints a new token, once, and writes its name, rights and SHA-256 to the file of `ordainctl serve "
            "--tokens`, where it takes effect at once; an earlier token of this name ends. The rights are `read`, "
            "which each token has, `adopt` for new machines, `boot` for the image of a next boot, and `units` for the "
            "unit files of a machine, in which values of the documents stand. The name `*` is everybody without a "
            "token."
        ),
        run="boot.api_token:token",
        arguments=(
            Argument(metavar="NAME", required=True, help="the person or program that gets the token"),
            Argument(
                flag="--tokens",
                metavar="FILE",
                required=True,
                completion=Completion.FILES,
                help="the file of `ordainctl serve --tokens`; it is made if it is missing",
            ),
            Argument(flag="--rights", metavar="RIGHT,…", help="the rights of the token; default: read"),
            Argument(flag="--remove", help="remove the token of this name"),
        ),
        examples=(
            (
                "ordainctl netboot token anna --rights adopt,boot --tokens /etc/ordain/netboot-tokens",
                "an administrator",
            ),
        ),
    ),
    Subcommand(
        name="fleet discovered",
        group="fleet",
        purpose="list machines that boot from the network, without a Node",
        text=(
            "Prints what each machine said of itself. Anybody in the network can ask in the name of a machine, so "
            "nothing in the list is certain; it has 1,000 machines at most."
        ),
        run="boot.netboot_machines:discovered",
        arguments=(STATE, JSON),
        examples=(("ordainctl fleet discovered /var/lib/netboot", "new machines"),),
    ),
    Subcommand(
        name="fleet adopt",
        group="fleet",
        purpose="write the Node of a discovered machine",
        text=(
            "The Node matches the MAC address and has the labels. Without --documents, it is printed, for "
            "`ordainctl documents put -` or a commit."
        ),
        run="boot.netboot_machines:adopt",
        arguments=(
            Argument(metavar="MAC", required=True, help="its MAC address, as `ordainctl fleet discovered` prints it"),
            Argument(flag="--name", metavar="NAME", required=True, help="the name of the Node, and its host name"),
            Argument(flag="--label", metavar="KEY=VALUE", many=True, help="a label of the Node"),
            Argument(
                flag="--documents",
                metavar="DIR",
                completion=Completion.DIRECTORIES,
                help="write NAME.yaml to this directory, unless another Node there has the name or the address",
            ),
            Argument(
                flag="--state",
                metavar="STATE",
                completion=Completion.DIRECTORIES,
                help="adopt only a machine that asked the server with this `--state`",
            ),
            JSON,
        ),
        examples=(
            (
                "ordainctl fleet adopt 52:54:00:12:34:56 --name web3 --label role=web --documents /srv/documents",
                "a new web server",
            ),
        ),
    ),
    Subcommand(
        name="fleet boot",
        group="fleet",
        purpose="choose the image of the next boot of a machine",
        text=(
            "The next time that the machine asks the boot server, it gets IMAGE, once; later boots start what its "
            "documents say. Without --once, an earlier choice that was not used yet is removed. The machine is not "
            "rebooted."
        ),
        run="boot.netboot_machines:boot",
        arguments=(
            Argument(metavar="MACHINE", required=True, help="the name of its Node, or its MAC address"),
            Argument(flag="--once", metavar="IMAGE", help="the image, as `netboot: {image: …}` takes it"),
            STATE_OPTION,
            Argument(
                flag="--files",
                metavar="FILES",
                completion=Completion.DIRECTORIES,
                help="check that IMAGE is in this directory, and start only the bytes with its digest",
            ),
        ),
        examples=(
            ("ordainctl fleet boot web3 --once debian-13:3 --state /var/lib/netboot", "an older image, for a look"),
        ),
    ),
)
