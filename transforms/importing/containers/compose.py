"""docker-compose files as services that run ``docker run`` in the foreground, one for each container.

The services do explicitly what Compose does around a container. Networks and named volumes keep the names that Compose
gave them (``PROJECT_NAME``), so that data and addresses stay. A key without an option of ``docker run`` is a problem.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping

from ordain.transforms.catalog.names import Names
from ordain.transforms.document.formats import formats
from ordain.transforms.document.text.node import Node
from ordain.transforms.errors import Where
from ordain.transforms.importing.containers.compose_container import DOCKER, EXPAND, IGNORED, container_entry
from ordain.transforms.importing.containers.compose_objects import create_arguments
from ordain.transforms.importing.containers.compose_secrets import FOLDERS
from ordain.transforms.importing.draft import yaml_values
from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile
from ordain.transforms.importing.draft.yaml_values import UnusableValue, flag, items, listed, set_items, text
from ordain.transforms.systemd import encode


def convert(files: Iterable[InputFile], names: Names, draft: DocumentDraft) -> None:
    """Add every service of every file to ``draft``."""
    for file in files:
        if root := yaml_values.read(file, draft, hint=EXPAND):
            _Project(root, file, draft).convert()


TOP_LEVEL = {
    "include": EXPAND,
    "models": "run the model in a service of its own",
}
"""Remedies for keys at the top of a file."""


class _Project:
    """One compose file."""

    def __init__(self, root: Node, file: InputFile, draft: DocumentDraft) -> None:
        self.root, self.draft = root, draft
        self.where = Where(path=file.path, line=1)
        self.directory = posixpath.dirname(file.path) if file.path.startswith("/") else ""
        self.arguments: dict[tuple[str, str], list[str]] = {}
        self.used: set[tuple[str, str]] = set()
        self.name = re.sub(r"[^a-z0-9_-]", "", file.folder.lower()).lstrip("_-")
        self.sections: dict[str, Mapping[str, Node]] = {
            **{"volumes": {}, "networks": {}, "services": {}},
            **{section: {} for section in FOLDERS},
        }

    @property
    def services(self) -> Mapping[str, Node]:
        """Return the services of the file by name."""
        return self.sections["services"]

    def convert(self) -> None:
        self.read_top_level()
        if not self.name:
            what = "the project has no name, which its networks and volumes are named after"
            self.draft.not_converted(self.where, what, "add `name: PROJECT` to the file")
            self.name = "compose"
        self.read_objects("volumes")
        self.read_objects("networks")
        for name, node in self.services.items():
            try:
                self.add_service(name, node)
            except UnusableValue as error:
                self.not_converted(node, f"service {name}: {error.described(node)}", error.hint)
        for section, key in sorted(self.arguments.keys() - self.used):
            for name, node in items(self.sections[section][key]).items():
                what = f"{section}/{key}: {name}, because no service of this import uses it"
                if name not in {"name", "external"}:
                    self.not_converted(node, what, "remove it")
        for section in FOLDERS:
            self.name_files(section)
        self.remove_dependencies({*self.services} - {*self.draft.entries("services")})

    def name_files(self, section: str) -> None:
        """Name what is not converted of each secret or config: it is a file that is mounted, or nothing."""
        for name, node in self.sections[section].items():
            keys = set_items(node) if isinstance(node.value, Mapping) else {}
            if (section, name) not in self.used:
                self.not_converted(node, f"{section}/{name}, because no service of this import uses it", "remove it")
            elif "file" not in keys:
                self.not_converted(node, f"{section}/{name}: it is not a file", "write it to a file, and mount that")
            else:
                for key in sorted(keys.keys() - {"file"}):
                    self.not_converted(keys[key], f"{section}/{name}: {key}", "docker mounts the file as it is")

    def file_of(self, section: str, name: str) -> Node | None:
        """Return the path of a secret or config that a service uses, None if it is not a file."""
        self.used.add((section, name))
        node = self.sections[section].get(name)
        return set_items(node).get("file") if node and isinstance(node.value, Mapping) else None

    def read_top_level(self) -> None:
        for key, node in items(self.root).items():
            try:
                if key in self.sections:
                    self.sections[key] = items(node)
                elif key == "name":
                    self.name = text(node)
                elif key not in IGNORED and not key.startswith("x-"):
                    self.not_converted(node, f"{key}: a document has no such section", TOP_LEVEL.get(key, "remove it"))
            except UnusableValue as error:
                self.not_converted(node, error.described(node), error.hint)

    def read_objects(self, section: str) -> None:
        """Find out how docker makes each volume or network."""
        for name, node in self.sections[section].items():
            try:
                if _external(node):
                    for key in sorted(set_items(node).keys() - {"name", "external"}):
                        what = f"{section}/{name}: {key} of an external one, which others make"
                        self.not_converted(items(node)[key], what, "remove it")
                else:
                    self.arguments[section, name] = create_arguments(section, name, node, self.not_converted)
            except UnusableValue as error:
                self.not_converted(node, f"{section}/{name}: {error.described(node)}")

    def remove_dependencies(self, missing: set[str]) -> None:
        """Remove services that were not converted, and have their problem, from the dependencies of the others."""
        for name, node in self.services.items():
            entry = self.draft.entries("services").get(name)
            lost: set[str] = set()
            for key in ("after", "requires", "wants"):
                if isinstance(entry, dict) and isinstance(listed := entry.get(key), list):
                    entry[key] = [other for other in listed if other not in missing]
                    lost |= missing.intersection(other for other in listed if isinstance(other, str))
            for other in sorted(lost):
                what = f"service {name}: the dependency on {other}, which is not converted"
                self.not_converted(node, what, f"write it when {other} is a service")

    def not_converted(self, node: Node, what: str, hint: str = "") -> None:
        self.draft.not_converted(node.where, what, hint)

    def volume_name(self, name: str) -> str:
        return self._full_name("volumes", name)

    def network_name(self, name: str) -> str:
        return self._full_name("networks", name)

    def made_by(self, section: str, key: str) -> str:
        """Return the command that makes a volume or network, or looks for an external one, before a container starts.

        Every service that uses it has the command, which fails without effect if the other one was first. docker makes
        a volume without options itself.
        """
        self.used.add((section, key))
        name = self._full_name(section, key)
        kind, node = section[:-1], self.sections[section].get(key)
        if node and _external(node):
            return encode.encode_command((DOCKER, kind, "inspect", name)) if section == "volumes" else ""
        arguments = self.arguments.get((section, key), [])
        if section == "volumes" and not arguments:
            return ""
        return f"-{encode.encode_command((DOCKER, kind, 'create', *arguments, name))}"

    def _full_name(self, section: str, name: str) -> str:
        """Return the name in docker of a volume or network, which has the project in front unless the file sets it."""
        try:
            node = items(self.sections[section].get(name, Node(value=None, where=self.where)))
            if "name" in node:
                return text(node["name"])
            if "external" in node and flag(node["external"]):
                return name
        except UnusableValue:
            pass
        return f"{self.name}_{name}"

    def add_service(self, name: str, node: Node) -> None:
        try:
            formats.service_name(name)
        except ValueError as error:
            raise UnusableValue(node, f"this name is not valid: {error}", "rename it") from None
        keys = items(node)
        if "profiles" in keys and listed(keys["profiles"]):
            hint = "import a copy without `profiles` to have the service"
            raise UnusableValue(keys["profiles"], "Compose starts it only with its profile", hint)
        entry = container_entry(name, self, keys)
        if entry is None:
            self.not_converted(node, f"service {name} has no image", "build and push one, and name it as `image`")
        else:
            self.draft.add("services", name, entry, node.where)


def _external(node: Node) -> bool:
    try:
        keys = items(node)
        return "external" in keys and (isinstance(keys["external"].value, Mapping) or flag(keys["external"]))
    except UnusableValue:
        return False
