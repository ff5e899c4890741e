"""The volumes and networks of a compose file as arguments of ``docker volume create`` and ``docker network create``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from ordain.transforms.document.text.node import Node
from ordain.transforms.importing.draft.foreign_yaml import go_text
from ordain.transforms.importing.draft.yaml_values import UnusableValue, flag, items, listed, set_items, text

ONE = {"driver": "--driver"}
"""Options for keys with one value."""
MAPS = {
    "volumes": {"driver_opts": "--opt", "labels": "--label"},
    "networks": {"driver_opts": "--opt", "labels": "--label"},
}
"""Options for keys that are a map, or a list of NAME=VALUE."""
FLAGS: Mapping[str, Mapping[str, str]] = {
    "volumes": {},
    "networks": {"internal": "--internal", "attachable": "--attachable", "enable_ipv6": "--ipv6"},
}
SUBNET = {"subnet": "--subnet", "gateway": "--gateway", "ip_range": "--ip-range"}
NAMES = frozenset({"name", "external"})

NotConverted = Callable[[Node, str, str], None]
"""Adds the problem that something is not converted, with a remedy."""


def create_arguments(section: str, name: str, node: Node, not_converted: NotConverted) -> list[str]:
    """Return the arguments that make a volume or network, without its name; what has no option is a problem.

    Raises `UnusableValue` if the value is not a map.
    """
    return [*_Object(section, name, not_converted).arguments(node)]


class _Object:
    def __init__(self, section: str, name: str, not_converted: NotConverted) -> None:
        self.section, self.name, self._not_converted = section, name, not_converted

    def not_converted(self, node: Node, what: str) -> None:
        hint = f"create it once: `docker {self.section[:-1]} create --help` may have an option for it"
        self._not_converted(node, f"{self.section}/{self.name}: {what}", hint)

    def arguments(self, node: Node) -> Iterator[str]:
        for key, child in set_items(node).items():
            yield from self.each(key, child, partial(self.of_key, key))

    def each(self, what: str, node: Node, convert: Callable[[Node], Iterator[str]]) -> list[str]:
        """Return the arguments for a value, none and a problem if it cannot be used."""
        try:
            return [*convert(node)]
        except UnusableValue as error:
            self.not_converted(node, f"{what}: {error.described(node)}")
            return []

    def of_key(self, key: str, node: Node) -> Iterator[str]:
        if key in ONE:
            yield f"{ONE[key]}={_word(node)}"
        elif option := MAPS[self.section].get(key):
            yield from self.pairs(key, option, node)
        elif option := FLAGS[self.section].get(key):
            yield from [option] if flag(node) else []
        elif key == "ipam" and self.section == "networks":
            for inner, child in set_items(node).items():
                yield from self.each(f"ipam: {inner}", child, partial(self.of_ipam, inner))
        elif key not in NAMES and not key.startswith("x-"):
            self.not_converted(node, key)

    def of_ipam(self, key: str, node: Node) -> Iterator[str]:
        if key == "driver":
            yield from [f"--ipam-driver={_word(node)}"] if _word(node) != "default" else []
        elif key == "options":
            yield from self.pairs("ipam: options", "--ipam-opt", node)
        elif key == "config":
            for pool in listed(node):
                for inner, child in set_items(pool).items():
                    yield from self.each(f"ipam: {inner}", child, partial(self.of_pool, inner))
        else:
            self.not_converted(node, f"ipam: {key}")

    def of_pool(self, key: str, node: Node) -> Iterator[str]:
        if key in SUBNET:
            yield f"{SUBNET[key]}={_word(node)}"
        elif key == "aux_addresses":
            yield from self.pairs("ipam: aux_addresses", "--aux-address", node)
        else:
            self.not_converted(node, f"ipam: {key}")

    def pairs(self, what: str, option: str, node: Node) -> Iterator[str]:
        """Yield the option for each name and value of a map, or of a list of NAME=VALUE."""
        if isinstance(node.value, tuple):
            for item in node.value:
                yield from self.each(what, item, lambda item: iter([f"{option}={_word(item)}"]))
            return
        for name, child in items(node).items():
            yield from self.each(f"{what}: {name}", child, partial(self.pair, option, name))

    def pair(self, option: str, name: str, node: Node) -> Iterator[str]:
        yield f"{option}={name}={'' if node.value is None else go_text(_word(node))}"


def _word(node: Node) -> str:
    """Return a text, with ``$$`` as a single ``$``. Raises `UnusableValue` for a text with a variable."""
    written = text(node)
    if "$" in written.replace("$$", ""):
        raise UnusableValue(node, f"{written!r} has a variable that Compose replaces")
    return written.replace("$$", "$")
