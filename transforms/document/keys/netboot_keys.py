"""The keys of ``netboot``: the operating system that a machine starts from the network (docs/reference/sections)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ordain.transforms.document.formats.netboot_formats import FILE_SYSTEMS, PARTITION_TYPES, POLICIES
from ordain.transforms.document.keys.shapes import (
    TEMPLATE,
    Choice,
    Map,
    Position,
    Record,
    Schema,
    Sequence,
    Set,
    String,
)
from ordain.transforms.document.text.node import Node
from ordain.transforms.model import Template, Tree, Value

FILE_TITLE = "a URL, or a path below the files of the server"


@dataclass(frozen=True, slots=True)
class KernelArgument:
    """The value of a kernel argument: ``true`` if it has none, a string, or a list if the argument is repeated."""

    about: str = ""

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        word: Schema = {"type": ["string", "object"], "title": "a value", **TEMPLATE}
        return {
            "type": ["string", "boolean", "array", "object", "null"],
            "not": {"const": False},
            "title": "true, a value, or a list of values",
            "items": word,
            "minItems": 1,
            **TEMPLATE,
            "x-merge": "sequence",
        }

    def canonical(self, node: Node, at: Position) -> Tree:
        """Return a leaf that holds True, or a tuple of strings and templates."""
        if node.value is None or isinstance(node.value, bool):
            return at.leaf(node.value, node)
        items = node.value if isinstance(node.value, tuple) else (node,)
        return at.leaf(tuple(map(_text, items)), node)


def _text(node: Node) -> Value:
    return Template(str(node.value["template"].value)) if isinstance(node.value, Mapping) else str(node.value)


def _size(about: str) -> String:
    return String(about, 'a size such as "8G"', "size", template=False)


def _pattern(about: str, example: str) -> String:
    return String(about, "a pattern", example=example)


DISK = Record(
    {
        "device": Record(
            {
                "serial": _pattern("Its serial number.", "S3Z8NB0K"),
                "model": _pattern("Its model.", "Samsung SSD*"),
                "wwn": _pattern("Its World Wide Name.", "0x5002538d40f1a0c2"),
                "path": _pattern("Its path below /dev, also of a link.", "/dev/disk/by-path/pci-0000:00:17.0-ata-1"),
                "size-min": _size("Its least size."),
                "size-max": _size("Its greatest size."),
            },
            "The facts of the disk, with patterns as in `match`. Exactly one disk of the machine must have all of "
            "them; without any, the machine must have one disk only.",
            title="the facts of a disk",
        ),
        "install": Choice(
            POLICIES,
            "once (the default): a complete installation is never changed by the network. follow: it is installed "
            "again when the image changes; partitions other than the root keep their content.",
        ),
        "partitions": Map(
            Record(
                {
                    "type": Choice(
                        tuple(PARTITION_TYPES),
                        "Its type, in the words of repart.d(5). The default is the name, if that is a type, and "
                        "linux-generic otherwise.",
                    ),
                    "format": Choice(
                        FILE_SYSTEMS,
                        "Its file system, made once: ext4, and swap and vfat where the type demands it.",
                    ),
                    "size-min": _size("Its least size; without both sizes it takes its share of the free space."),
                    "size-max": _size("Its greatest size."),
                    "mount": String("Its mount point, which /etc/fstab gets.", "an absolute path", "path", "/srv"),
                },
                title="the keys of a partition",
            ),
            "The partitions. `bios`, `esp` (300M) and `root` are always there. With a second partition of the type "
            "root, an installation leaves the earlier one as it is until the new one is complete.",
            "the name of a partition",
            "partition-name",
        ),
        "wipe": Set(
            "The contents that may be destroyed: a disk that is not empty and not ours is refused, with the name of "
            "its content. Another content is still refused.",
            "the name of the content of a disk",
            "content-of-disk",
            example="[gpt-0c5d4e1a-6b1f-4d0e-9f5e-3a1b2c3d4e5f]",
        ),
    },
    "The disk that the machine installs the image to, with `root: disk`.",
    title="the keys of a disk to install to",
)

NETBOOT = Record(
    {
        "root": Choice(
            ("initrd", "disk", "next-device"),
            "initrd: the kernel starts with the initrds, which are the system or mount it as the arguments tell them. "
            "disk: the machine installs the image to its disk, and starts from there afterwards. "
            "next-device: the firmware goes on to the next device of its boot order, such as the local disk.",
        ),
        "image": String(
            "The image that the machine unpacks into RAM, as `ordainctl netboot images` prints it; without a version, "
            "the latest. It stands for kernel, first initrd and root; only a digest says which bytes those are.",
            "NAME, NAME:VERSION or NAME:VERSION@sha256:DIGEST",
            "netboot-image",
            "debian-13:4",
        ),
        "disk": DISK,
        "kernel": String("The kernel.", FILE_TITLE, "netboot-file", "debian-13/vmlinuz"),
        "initrds": Sequence(
            String(title=FILE_TITLE, format="netboot-file"),
            "The initrds, in the order in which the kernel unpacks them.",
            "[debian-13/initrd.img, site.cpio]",
        ),
        "arguments": Map(
            KernelArgument(),
            "Arguments of the kernel. `true` is an argument without a value; a list repeats the argument in its order.",
            "the name of a kernel argument",
            "kernel-argument",
        ),
    },
    "The operating system that the machine starts from the network. "
    "`ordainctl serve` answers a machine by it before there is a system, so only facts that iPXE knows match here.",
    title="the keys of a boot from the network",
)
