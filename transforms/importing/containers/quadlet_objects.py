"""The quadlets .volume and .network as commands of podman that make the object before a container starts.

quadlet makes a service for each. Here the service of each container that uses the object makes it, if it is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ordain.transforms.errors import Where
from ordain.transforms.importing.containers.podman_command import unquoted
from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile
from ordain.transforms.importing.units.unit_assignments import Assignment
from ordain.transforms.systemd import splitting, values
from ordain.transforms.systemd.encode import EncodeError

OPTIONS = {
    "volume": {"Driver": "--driver", "UID": "--uid", "GID": "--gid"},
    "network": {"Driver": "--driver", "IPAMDriver": "--ipam-driver", "InterfaceName": "--interface-name"},
}
"""Options for the last assignment of a key."""
LISTS: Mapping[str, Mapping[str, str]] = {"volume": {}, "network": {"DNS": "--dns"}}
"""Options for every assignment of a key."""
WORDS = {"volume": {"Label": "--label"}, "network": {"Label": "--label", "Options": "--opt"}}
"""Options for every word of a key."""
FLAGS: Mapping[str, Mapping[str, str]] = {
    "volume": {},
    "network": {"DisableDNS": "--disable-dns", "Internal": "--internal", "IPv6": "--ipv6"},
}
SUBNET = {"Subnet": "--subnet", "Gateway": "--gateway", "IPRange": "--ip-range"}
"""Keys of a network whose assignments belong together by their number."""
DEVICE = ("Image", "User", "Group", "Device", "Type", "Options")
"""Keys of a volume that become options of its driver."""
NOT_NEEDED = "remove it: the service of each container makes the {}, and it has no unit"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodmanObject:
    """A volume or network: its ``name`` in podman, and the arguments of podman that make it if it is missing.

    podman makes a volume without options at its first use, so that it has no such arguments. ``mount`` is a path that
    must be mounted before.
    """

    name: str
    create: tuple[str, ...] = ()
    mount: str = ""


def podman_object(file: InputFile, kind: str, assignments: Iterable[Assignment], draft: DocumentDraft) -> PodmanObject:
    """Return the object that a file describes; its other assignments are problems."""
    return _Object(file, kind, draft).object(assignments)


class _Object:
    def __init__(self, file: InputFile, kind: str, draft: DocumentDraft) -> None:
        self.file, self.kind, self.draft = file, kind, draft
        self.keys: dict[str, list[Assignment]] = {}
        self.mount = ""

    def object(self, assignments: Iterable[Assignment]) -> PodmanObject:
        section = self.kind.capitalize()
        for assignment in assignments:
            if assignment.section == section and assignment.value:
                self.keys.setdefault(assignment.key, []).append(assignment)
            elif assignment.section == section:
                self.keys.pop(assignment.key, None)
            else:
                what = f"[{assignment.section}] {assignment.key}= of {self.file.name}"
                self.draft.not_converted(assignment.where, what, NOT_NEEDED.format(self.kind))
        stem = self.file.stem
        # In a template each instance has its own.
        name = self.last(f"{section}Name") or f"systemd-{stem.removesuffix('@')}{'-%i' if stem.endswith('@') else ''}"
        options = [*self.options()]
        last = [word for value in self.all("PodmanArgs") for word in splitting.split(value, unescape=True)]
        start = [f"--module={value}" for value in self.all("ContainersConfModule")]
        start += [word for value in self.all("GlobalArgs") for word in splitting.split(value, unescape=True)]
        for assignment in (a for key in self.keys for a in self.keys[key]):
            hint = NOT_NEEDED.format(self.kind) if assignment.key == "ServiceName" else ""
            if assignment.key == "NetworkDeleteOnStop":
                hint = "remove the network manually: containers that others start may use it"
            hint = hint or f"`podman {self.kind} create` may have an option: PodmanArgs= takes any"
            self.draft.not_converted(assignment.where, f"{assignment.key}= of {self.file.name}", hint)
        if self.kind == "volume" and not (start or options or last):
            return PodmanObject(name=name)
        create = (*start, self.kind, "create", "--ignore", *options, *last, name)
        return PodmanObject(name=name, create=create, mount=self.mount)

    def all(self, key: str) -> list[str]:
        """Return the values of a key, which then counts as converted."""
        return [assignment.value for assignment in self.keys.pop(key, ())]

    def last(self, key: str) -> str:
        return unquoted((self.all(key) or [""])[-1])

    def options(self) -> Iterator[str]:
        for key, option in OPTIONS[self.kind].items():
            if key != "Driver" or self.kind == "network":
                yield from (f"{option}={value}" for value in [self.last(key)] if value)
        for key, option in LISTS[self.kind].items():
            yield from (f"{option}={value}" for value in self.all(key))
        for key, option in FLAGS[self.kind].items():
            yield from self.flag(key, option)
        if self.kind == "network":
            yield from self.subnets()
        else:
            yield from self.driver_options()
        for key, option in WORDS[self.kind].items():
            words = (word for value in self.all(key) for word in splitting.split(value, unescape=True))
            yield from (f"{option}={word}" for word in words)

    def flag(self, key: str, option: str) -> Iterator[str]:
        if key in self.keys:
            where = self.keys[key][-1].where
            try:
                yield f"{option}={str(values.boolean(self.last(key))).lower()}"
            except EncodeError as error:
                self.draft.not_converted(where, f"{key}=: {error.what}", error.hint)

    def subnets(self) -> Iterator[str]:
        """Yield the options of each subnet. As with quadlet, there cannot be more gateways or ranges than subnets."""
        count = len(self.keys.get("Subnet", ()))
        of_key: dict[str, list[str]] = {}
        for key in SUBNET:
            for assignment in self.keys.get(key, [])[count:]:
                what = f"{key}= of {self.file.name}, of which there are more than of Subnet="
                self.draft.not_converted(assignment.where, what, "add a Subnet= to it")
            of_key[key] = self.all(key)
        for at in range(len(of_key["Subnet"])):
            yield from (f"{SUBNET[key]}={texts[at]}" for key, texts in of_key.items() if at < len(texts))

    def driver_options(self) -> Iterator[str]:
        """Yield the driver of a volume and its options, which for a device are those of its mount."""
        driver, place = self.last("Driver"), self.place(DEVICE)
        copy = [*self.flag("Copy", "")]
        of_key = {key: self.last(key) for key in DEVICE if key in self.keys}
        yield from [f"--driver={driver}"] if driver else []
        if driver == "image":
            image = of_key.pop("Image", "")
            if image.endswith((".image", ".build")):
                what = f"Image= of {self.file.name}: {image} is another quadlet"
                self.draft.not_converted(place, what, "name the image itself")
            elif image:
                yield f"--opt=image={image}"
            self.name_unused(place, of_key)
            return
        self.name_unused(place, {key: text for key, text in of_key.items() if key == "Image"})
        yield from ("--opt=copy" if text == "=true" else "--opt=nocopy" for text in copy)
        if "Device" in of_key:
            yield f"--opt=device={of_key['Device']}"
            yield from [f"--opt=type={of_key['Type']}"] if "Type" in of_key else []
            self.mount = of_key["Device"] if of_key.get("Type") == "bind" else ""
        else:
            self.name_unused(place, {key: text for key, text in of_key.items() if key == "Type"})
        mount = [f"{name}={of_key[key]}" for key, name in (("User", "uid"), ("Group", "gid")) if key in of_key]
        mount += [of_key["Options"]] if "Options" in of_key else []
        yield from [f"--opt=o={','.join(mount)}"] if mount else []

    def place(self, keys: Iterable[str]) -> Where:
        """Return the place of the first assignment of some keys."""
        return next((self.keys[key][0].where for key in keys if key in self.keys), Where(path=self.file.path))

    def name_unused(self, place: Where, of_key: Mapping[str, str]) -> None:
        for key in of_key:
            what = f"{key}= of {self.file.name}, which has no meaning with the other keys"
            self.draft.not_converted(place, what, "remove it")
