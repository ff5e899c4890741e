"""The keys of ``netboot``: the operating system that a machine starts from the network (docs/reference/sections)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ordain.transforms.document.keys.shapes import TEMPLATE, Choice, Map, Position, Record, Schema, Sequence, String
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


NETBOOT = Record(
    {
        "root": Choice(
            ("initrd", "next-device"),
            "initrd: the kernel starts with the initrds, which are the system or mount it as the arguments tell them. "
            "next-device: the firmware goes on to the next device of its boot order, such as the local disk.",
        ),
        "image": String(
            "The image that the machine unpacks into RAM, as `ordainctl netboot images` prints it; without a version, "
            "the latest. It stands for kernel, first initrd and root; only a digest says which bytes those are.",
            "NAME, NAME:VERSION or NAME:VERSION@sha256:DIGEST",
            "netboot-image",
            "debian-13:4",
        ),
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
