"""The values that the API of a boot server sends as JSON; docs/reference/boot-server-api.md is made from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum

from ordain.agent.netboot.boot_count import rolls_back
from ordain.agent.netboot.images import StoredImage
from ordain.agent.netboot.machine_records import NetbootEvent, NetbootRecord, NetbootStep
from ordain.transforms.netboot.ipxe_script import installation_of


class BootState(StrEnum):
    """The state of the boots of a machine."""

    DISCOVERED = "discovered"
    """No Node matches it."""
    WAITS = "waits"
    """It has no script: no document says what it starts, or the documents were always wrong."""
    INSTALLING = "installing"
    """It installs an image to its disk, or has begun to, and has not said yet that it is complete."""
    NOT_INSTALLED = "not installed"
    """It said why it does not install to its disk."""
    ROLLED_BACK = "rolled back"
    """It gets its last good image, because boots of the one in its documents did not complete."""
    BOOTING = "booting"
    """It has the image of its documents, and has not said yet that a boot of it is good."""
    BOOTED = "booted"
    """It said that its boot of the image in its documents is good."""
    STARTED = "started"
    """It got a script without an image; such a machine does not say that its boot is good."""


def state_of(record: NetbootRecord) -> BootState:
    """Return the state of a machine."""
    step = record.log[-1].step if record.log else NetbootStep.ASKED
    if not record.node:
        return BootState.DISCOVERED
    if step is NetbootStep.WAITS or not record.script:
        return BootState.WAITS
    if rolls_back(record):
        return BootState.ROLLED_BACK
    if record.not_installed:
        return BootState.NOT_INSTALLED
    if installation_of(record.script) and not record.installed:
        return BootState.INSTALLING
    if not record.image:
        return BootState.STARTED
    return BootState.BOOTED if record.good_image == record.image and not record.boots else BootState.BOOTING


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The one who asks: the name of the token, "*" without one, and its rights.

    ``relay`` is the name of the relay that answers, "" if the server is not a relay.
    """

    name: str
    rights: tuple[str, ...]
    relay: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine that asked the server; ``node`` is the Node that matches it, "" for a discovered machine.

    ``image`` is the image in its script, ``good_image`` that of its last boot that completed. ``first`` and ``last``
    are the times of its requests and ``reported`` that of its last good boot, in seconds since 1970, 0 for never.
    ``said`` are the facts that it sent. ``boots`` counts its boots of the script since one completed. ``problems`` are
    the reasons why it does not get a newer script, and warnings. ``installed`` is the identity of the
    installation on its disk, "" for none, ``installed_image`` its image, and ``installed_at`` the time when the machine
    last said that it is complete, in seconds since 1970. ``release`` is the number of the release whose documents it
    boots, 0 for documents without one, and ``waiting`` why that is not the latest one.
    """

    machine: str
    node: str
    state: BootState
    channel: str
    release: int
    waiting: str
    image: str
    good_image: str
    first: float
    last: float
    reported: float
    boots: int
    said: Mapping[str, str]
    installed: str
    installed_image: str
    installed_at: float
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineStory:
    """One machine with its boots: ``log`` has the latest steps, the last one at the end.

    ``script`` is the script that it has. ``next_script`` is the one that the documents make for it now, with the place
    of each line in the documents, from ``layers``; ``next_problems`` are the reasons why there is none, and warnings.
    ``once`` is the image for its next boot only, "" if there is none. ``system`` is the system of its image, such as
    ``debian-13``, "" if that is not known.
    """

    machine: Machine
    log: tuple[NetbootEvent, ...]
    script: str
    next_script: str = ""
    layers: tuple[str, ...] = ()
    next_problems: tuple[str, ...] = ()
    once: str = ""
    system: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitText:
    """A unit file or a drop-in below the directory of generated units; comments name the origin of the lines below."""

    path: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineUnit:
    """A unit with its files; ``wanted`` is the state that the documents want, "" if they only add to it."""

    unit: str
    wanted: str
    files: tuple[UnitText, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineUnits:
    """The units of a machine with ``system`` (``debian-13``), the layers that match it, and the problems."""

    system: str
    layers: tuple[str, ...]
    units: tuple[MachineUnit, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image: ``asked`` machines have it in their script, and the last good boot of ``booted`` machines is of it."""

    name: str
    version: int
    digest: str
    os: str
    kernel: str
    size: int
    asked: int
    booted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelHead:
    """The latest release of a channel that the server offers; ``created`` is the time at which it was made."""

    channel: str
    number: int
    created: str
    about: str
    documents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """The Node document of an adopted machine, and the name of the file that it was written to."""

    document: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRefusal:
    """The reason why a request is refused; ``document`` is the Node that the server could not write."""

    error: str
    document: str = ""


def machine_of(record: NetbootRecord) -> Machine:
    """Return a record as the API shows it."""
    same = {field.name: getattr(record, field.name) for field in fields(Machine) if field.name != "state"}
    return Machine(state=state_of(record), **same)


def images_of(images: Iterable[StoredImage], records: Iterable[NetbootRecord]) -> tuple[Image, ...]:
    """Return all images with the numbers of their machines."""
    asked: dict[str, int] = {}
    booted: dict[str, int] = {}
    for record in records:
        for counts, image in ((asked, record.image), (booted, record.good_image)):
            counts[image] = counts.get(image, 0) + 1
    return tuple(
        Image(
            name=image.reference.name,
            version=image.reference.version,
            digest=image.reference.digest,
            os=image.content.os,
            kernel=image.content.release,
            size=image.size,
            asked=asked.get(str(image.reference), 0),
            booted=booted.get(str(image.reference), 0),
        )
        for image in images
    )
