"""The objects that commands print with --json, where they are not a value of the agent (`agent.model`, `agent.status`).

A key, once printed, keeps its name and its type; new keys may come. docs/reference/json.md is made from these shapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NotRequired, TypedDict, cast

from ordain.transforms.errors import Problem
from ordain.transforms.package_set import PackageSet


@dataclass(frozen=True, slots=True)
class JsonOf:
    """The class whose fields an object has; it is named, so that a command need not import it."""

    name: str


class JsonProblem(TypedDict):
    """A problem: ``severity`` is error, blocked or warning, ``path``, ``line`` and ``column`` are its place.

    ``pointer`` is its place in the document (RFC 6901 without the first slash), ``hint`` the remedy.
    """

    severity: str
    code: str
    path: str
    line: int
    column: int
    pointer: str
    what: str
    hint: str
    item: str


class JsonRefusal(TypedDict):
    """The problems because of which the documents are refused. The exit status is 1."""

    problems: Sequence[JsonProblem]


class JsonDocumentPlace(TypedDict):
    """A document, and the place where it begins."""

    kind: str
    name: str
    path: str
    line: int


class JsonValidation(TypedDict):
    """The documents that were read, and their problems."""

    documents: Sequence[JsonDocumentPlace]
    problems: Sequence[JsonProblem]


class JsonTestFailure(TypedDict):
    """An expectation that does not hold: its place, and ``cause``, the place in the documents, "" if unknown."""

    path: str
    line: int
    what: str
    cause: str


class JsonTestCase(TypedDict):
    """The result of one test on one system."""

    test: str
    system: str
    failures: Sequence[JsonTestFailure]


class JsonUntestedPart(TypedDict):
    """A part of the documents that no test reached: a layer, a condition of its ``match``, a row of a Transform."""

    path: str
    line: int
    what: str


class JsonTestRun(TypedDict):
    """The results of all tests. ``parts`` counts the parts of the documents, ``coverage`` is the percentage reached."""

    cases: Sequence[JsonTestCase]
    untested: Sequence[JsonUntestedPart]
    parts: int
    coverage: int


class JsonArtifact(TypedDict):
    """A file to place: with ``content``, a ``link``, a ``directory``, a secret (``credential``), or none (``absent``).

    ``path`` of a unit file begins with ``normal/``, ``early/`` or ``late/``, the directories of generators.
    """

    path: str
    item: str
    mode: int
    content: str | None
    link: str | None
    directory: bool
    credential: str
    absent: bool
    owner: str
    group: str
    on_remove: str
    mount: str
    remote: bool
    home: str


class JsonWantedPackage(TypedDict):
    """A package that documents want, by its ``name`` on the system.

    ``argument`` is what the package manager takes to install it: its name, and the version if there is one. ``state``
    is present or absent, ``item`` the entry in the documents.
    """

    name: str
    argument: str
    state: str
    version: str
    hold: bool
    item: str


class JsonPackages(TypedDict):
    """The packages that documents want on a system, and the ``manager`` that installs them, "" if there are none."""

    manager: str
    packages: Sequence[JsonWantedPackage]


def json_packages(packages: PackageSet) -> JsonPackages:
    """Return the packages as JSON data."""
    rows = [
        JsonWantedPackage(
            name=package.name,
            argument=packages.manager.argument(package),
            state=package.state,
            version=package.version,
            hold=package.hold,
            item=package.item,
        )
        for package in packages.wanted
    ]
    return JsonPackages(manager=packages.manager.name, packages=rows)


class JsonRendered(TypedDict):
    """The files and units of one machine, and the ``layers`` that match it."""

    artifacts: Sequence[Annotated[Mapping[str, Any], JsonOf("JsonArtifact")]]
    members: Sequence[Annotated[Mapping[str, Any], JsonOf("Member")]]
    packages: JsonPackages
    layers: Sequence[str]
    problems: Sequence[JsonProblem]


class JsonSystemGroup(TypedDict):
    """The systems for which the documents result in the same files. ``difference`` is the one to the first group."""

    systems: Sequence[str]
    artifacts: Sequence[Annotated[Mapping[str, Any], JsonOf("JsonArtifact")]]
    problems: Sequence[JsonProblem]
    difference: str


class JsonRenderedForAll(TypedDict):
    """The files for all systems (`render --all-os`)."""

    groups: Sequence[JsonSystemGroup]
    problems: Sequence[JsonProblem]


class JsonBootScript(TypedDict):
    """The script for iPXE of one machine.

    ``script`` is "" if no document names the image that the machine boots, or if it cannot be made.
    """

    script: str
    problems: Sequence[JsonProblem]


class JsonLayerMatch(TypedDict):
    """A layer and whether it ``applies``, with the conditions that hold (``reasons``) and those that do not."""

    kind: str
    name: str
    tier: str
    weight: int
    path: str
    line: int
    applies: bool
    reasons: Sequence[str]
    against: Sequence[str]


class JsonNetbootImage(TypedDict):
    """An image that machines start from the network.

    ``reference`` is what `netboot: {image: …}` takes, ``size`` the bytes of its files, and ``memory`` the bytes of
    memory that the unpacked root takes. ``os`` is the system in it, ``release`` that of its kernel, and ``generation``
    the hash of the generation that is baked in, "" if there is none.
    """

    reference: str
    name: str
    version: int
    digest: str
    size: int
    memory: int
    os: str
    release: str
    generation: str


class JsonPrunedImages(TypedDict):
    """The images that were removed (with --dry-run: that would be), and those that stay."""

    removed: Sequence[JsonNetbootImage]
    kept: Sequence[JsonNetbootImage]


class JsonNetbootMachine(TypedDict):
    """A machine that asked a boot server; ``node`` is the Node that matches it, "" for a discovered machine.

    ``first`` and ``last`` are the times of its requests, in seconds since 1970. ``said`` are the facts that it sent.
    ``script`` is its last good script, and ``image`` the image in it. ``boots`` counts its boots of that script since
    one completed, ``good_image`` is the image of the last boot that completed, and ``reported`` the time when the
    machine said so, 0 if it never did. ``problems`` keep it from what the documents say, or are warnings. ``channel``
    is that of the URL that it asked, and ``log`` has its latest steps, the last one at the end. ``installed`` is the
    identity of the installation on its disk, "" for none, ``installed_image`` its image, ``installed_at`` the time when
    the machine last said that it is complete, and ``not_installed`` the reason why there is none.
    ``release`` is the number of the release whose documents it boots, 0 for documents without one, and ``waiting`` why
    that is not the latest one.
    """

    machine: str
    node: str
    channel: str
    release: int
    waiting: str
    image: str
    first: float
    last: float
    said: Mapping[str, str]
    script: str
    boots: int
    good_image: str
    reported: float
    installed: str
    installed_image: str
    installed_at: float
    not_installed: str
    problems: Sequence[str]
    log: Sequence[Annotated[Any, JsonOf("NetbootEvent")]]


class JsonAdopted(TypedDict):
    """The Node document of an adopted machine, and the file that it was written to, "" if it was only printed."""

    document: str
    path: str


class JsonImage(TypedDict):
    """The generation in an image, the number of its documents, the files ``written``, the facts ``unknown`` there.

    ``netboot`` is the image for boots from the network, with --netboot. ``packages`` are those that were installed, and
    ``conditions`` those that were not, with --install. Without documents, ``hash`` is "".
    """

    packages: NotRequired[Sequence[Annotated[Mapping[str, Any], JsonOf("PackageChange")]]]
    conditions: NotRequired[Sequence[Annotated[Mapping[str, Any], JsonOf("StatusCondition")]]]
    netboot: NotRequired[JsonNetbootImage]
    hash: str
    documents: int
    written: Sequence[str]
    unknown: Sequence[str]
    problems: Sequence[JsonProblem]


class JsonMergedDocument(TypedDict):
    """The generation in force and its document, which all matching layers merge into.

    ``provenance`` (with --provenance) has the layer and line of each value, by pointer.
    """

    number: int
    hash: str
    document: Mapping[str, Any]
    provenance: NotRequired[Mapping[str, Any]]


class JsonExplanationMore(TypedDict, total=False):
    """The answer of the running machine: its values by pointer (``actual``), and the pointers that differ.

    ``state``, ``status`` and ``last``, the steps of the last apply, are there for a unit.
    """

    actual: Mapping[str, str]
    differs: Sequence[str]
    state: Annotated[Mapping[str, Any], JsonOf("UnitState")]
    status: Annotated[Mapping[str, Any], JsonOf("UnitStatus")]
    last: Annotated[Mapping[str, Any], JsonOf("StepsOfLastApply")]


class JsonHistoryMore(TypedDict):
    """The apply or rollback: ``kept`` while one can roll back to the generation, ``in_force`` if it is in force now.

    ``outcome`` is that of the last apply of the generation; null if it is not kept.
    """

    time: str
    kept: bool
    in_force: bool
    event: Annotated[Any, JsonOf("HistoryEvent")]
    outcome: Annotated[Any, JsonOf("Outcome")]


class JsonBlockedSubject(TypedDict):
    """An item that the documents want and this machine cannot have. The exit status is 3."""

    about: str
    item: str
    blocked: Annotated[Mapping[str, Any], JsonOf("StatusCondition")]


class JsonHeldUnit(TypedDict):
    """The unit that is held."""

    unit: str


class JsonReportMore(TypedDict):
    """``lost``: the machine has not reported for too long. ``fleet_hold`` is the hold of the fleet, null if none is."""

    lost: bool
    fleet_hold: Annotated[Any, JsonOf("FleetHold")]


class JsonSealedSecret(TypedDict):
    """A secret of a document: ``recipients`` as they are written there, ``keys`` the ids of those that open it.

    ``open`` names the recipients that can open it, ``stale`` has a reason for each difference from its recipients.
    """

    name: str
    document: str
    place: str
    recipients: Sequence[str]
    keys: Sequence[str]
    open: Sequence[str]
    stale: Sequence[str]


class JsonIdentities(TypedDict):
    """The identities of machines. ``fleet`` is null before the first one; ``damaged`` has the faults of records."""

    fleet: Annotated[Any, JsonOf("FleetRecord")]
    machines: Sequence[Annotated[Mapping[str, Any], JsonOf("IdentifiedMachine")]]
    damaged: Mapping[str, str]


class JsonStoredDocument(TypedDict):
    """A document in a store: its ``scopes``, its length in bytes, and its version by key."""

    kind: str
    name: str
    scopes: Sequence[str]
    bytes: int
    versions: Mapping[str, str]


class JsonDocumentText(TypedDict):
    """The text of a document in a store."""

    kind: str
    name: str
    scopes: Sequence[str]
    text: str


class JsonDocumentVersion(TypedDict):
    """A version of a document, or its deletion; ``change`` is who made it and why, null if that is not known.

    ``version`` and ``text`` are empty for a deletion, and for a change whose text the store has no longer.
    """

    version: str
    text: str
    change: Annotated[Any, JsonOf("StoreChange")]


class JsonDocumentDifference(TypedDict):
    """A document that differs from the one in the store; ``diff`` is a unified diff."""

    document: str
    diff: str


class JsonValueChange(TypedDict):
    """A value of merged documents; null where there is none."""

    pointer: str
    before: Any
    after: Any


class JsonEffect(TypedDict):
    """The machines for which a change has the same effect."""

    machines: Sequence[str]
    changes: Sequence[JsonValueChange]
    problems: Sequence[JsonProblem]


class JsonDocumentWrite(TypedDict):
    """The result for each document, whether it was ``written``, and the effects on the ``known`` machines."""

    documents: Mapping[str, str]
    written: bool
    known: int
    touches: Sequence[JsonEffect]


class JsonDeviation(TypedDict):
    """A deviation of a store; ``change`` is what `store init` would do, ``hint`` the remedy where it can do nothing."""

    place: str
    what: str
    change: str
    hint: str


class JsonFigure(TypedDict):
    """A figure about a store, such as its size."""

    place: str
    name: str
    value: str


class JsonStoreCheck(TypedDict):
    """A store and everything in which it deviates from what a fleet needs. The exit status is 3 if there is any."""

    store: str
    deviations: Sequence[JsonDeviation]
    figures: Sequence[JsonFigure]


class JsonReleaseMore(TypedDict):
    """``hash`` is that of the signed text; ``head``: it is the latest of its channel."""

    hash: str
    head: bool


class JsonReleaseManifest(TypedDict, total=False):
    """A signed release, as [file formats](../design/file-formats.md) describes it; only keys that are set."""

    ordain: str
    kind: str
    name: str
    channel: str
    number: int
    schema: str
    created: str
    expires: str
    about: str
    shrinks: bool
    documents: Mapping[str, str]
    rollout: Mapping[str, Any]
    signatures: Mapping[str, str]


class JsonReleaseVerification(TypedDict):
    """A release and the names of the trusted keys that signed it.

    ``documents`` is the number of documents that have the signed content; null if they were not compared.
    """

    release: str
    signed_by: Sequence[str]
    documents: int | None


class JsonPrunedReleases(TypedDict):
    """The releases that are deleted (with --dry-run: would be) and kept, and the hashes of the deleted documents."""

    gone: Sequence[str]
    stay: Sequence[str]
    blobs: Sequence[str]


class JsonRollout(TypedDict):
    """The progress of a release: its state in the store, and the number of machines."""

    release: str
    state: Annotated[Mapping[str, Any], JsonOf("RolloutState")]
    machines: Annotated[Mapping[str, Any], JsonOf("MachineCounts")]


class JsonFoundValue(TypedDict):
    """A value that a condition names, and its ``place`` in a document."""

    pointer: str
    value: str
    place: str


class JsonFoundDocument(TypedDict):
    """A document that matches a query."""

    kind: str
    name: str
    values: Sequence[JsonFoundValue]


class JsonFoundMachine(TypedDict):
    """A machine that matches a query. ``problem`` is the reason why its documents are not known."""

    machine: str
    hostname: str
    attributes: Mapping[str, Sequence[str]]
    values: Sequence[JsonFoundValue]
    problem: str


class JsonOverriddenLine(TypedDict):
    """A layer that sets the value too, and does not count."""

    layer: str
    path: str
    line: int


class JsonValuePlace(TypedDict):
    """The place in the documents that a value comes from."""

    path: str
    line: int
    layer: str
    pointer: str
    overrode: Sequence[JsonOverriddenLine]


class JsonScriptLine(JsonValuePlace):
    """A line of a script, and the value that it comes from; ``also`` are further values in it."""

    text: str
    also: Sequence[JsonValuePlace]


class JsonScript(TypedDict):
    """The script of a Run; ``after`` are the Runs that it waits for, with the condition."""

    name: str
    run: str
    system: str
    elements: int
    after: Mapping[str, str]
    output: str
    script: str
    lines: Sequence[JsonScriptLine]
    arguments: Sequence[JsonScriptLine]


class JsonScripts(TypedDict):
    """The scripts of all Runs for one system."""

    scripts: Sequence[JsonScript]
    problems: Sequence[JsonProblem]


class JsonScriptText(TypedDict):
    """The scripts for one of several systems, "" if it cannot express the Run."""

    text: str
    problems: Sequence[JsonProblem]


class JsonJob(TypedDict):
    """A job of a scheduler. ``state``, ``exit`` and the scheduler's own ``word`` are there where it was asked."""

    id: str
    run: str
    system: str
    index: int | None
    elements: int
    submitted: str
    output: str
    state: NotRequired[str]
    exit: NotRequired[int | None]
    word: NotRequired[str]


class JsonRunSystem(TypedDict):
    """A system that Runs can be rendered for."""

    name: str
    scheduler: str
    about: str
    queues: Sequence[str]
    accounts: Sequence[str]
    modules: Sequence[str]


def json_problems(problems: Iterable[Problem]) -> list[JsonProblem]:
    """Return problems as --json prints them."""
    return [cast(JsonProblem, problem.to_json()) for problem in problems]
