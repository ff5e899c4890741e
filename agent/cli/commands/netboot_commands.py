"""The commands for machines that boot from the network."""

from __future__ import annotations

from ordain.agent.cli.commands.fleet_commands import GROUP
from ordain.agent.cli.commands.shared_arguments import JSON
from ordain.agent.cli.commands.subcommand import Argument, Completion, Family, Subcommand

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
)
