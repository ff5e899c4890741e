"""The operating system that a machine starts from the network, resolved before any system runs on it.

    documents ─netboot_documents▶ documents, facts of iPXE ─resolve_netboot▶ `BootTarget`, problems

Only layers that hold ``netboot`` or ``values`` count. Before a system runs, nobody knows the facts in `UNKNOWN`. A
layer that matches on one of them is left out, and `unknown_at_netboot` names it. Labels are those of the Node that
matches the machine, whose name is its host name until the system has another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from ordain.transforms.document.formats.conditions import FACTS
from ordain.transforms.document.formats.fact_table import is_further_fact
from ordain.transforms.document.formats.netboot_formats import netboot_file, netboot_image
from ordain.transforms.document.text.node import pointer_below
from ordain.transforms.document.text.plain_data import plain
from ordain.transforms.errors import Problem, Severity, Where, blocked, sorted_problems, warning
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Branch, Document, Facts, Kind, Leaf, Resolved
from ordain.transforms.netboot.disk_plan import DiskPlan, disk_plan, install_words
from ordain.transforms.resolve.resolve import matching_nodes, resolve
from ordain.transforms.template.expand import Scope, expand

SECTION = "netboot"
COUNTS = frozenset((SECTION, "values"))
KNOWN = frozenset(
    """arch hostname mac system-firmware system-uuid system-serial-number system-manufacturer
    system-product-name""".split()
)
"""The facts that iPXE sends, and the host name, which the Node of the machine tells."""
UNKNOWN = frozenset(FACTS) - KNOWN
MAX_ARGUMENTS = 2047
"""The longest command line of a Linux kernel on x86 and arm64, in bytes (COMMAND_LINE_SIZE is 2048)."""
IMAGE_ARGUMENTS = 512
"""The bytes that are left for the arguments of an image (`ipxe_script.answer`)."""
INSTALL_ARGUMENTS = 256
"""The bytes that are left for the digests of a kernel and an initrd that are installed."""
_CONTROL = lazy_pattern(r"[\x00-\x1f\x7f]")
_OF_AN_INITRD = lazy_pattern(
    r"'?(?:break(?:$|=)|(?:ordain|rd|init|rdinit|root|rootflags|rootfstype|netroot|nfsroot|ip|boot|BOOTIF)[.=])"
)
"""The arguments that decide what an initrd starts: those of ours, of dracut and of initramfs-tools."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootPart:
    """One part of a `BootTarget`: its text in the script, and the value of the document that it comes from."""

    text: str
    leaf: Leaf


@dataclass(frozen=True, slots=True, kw_only=True)
class BootTarget:
    """The system that a machine starts: a ``kernel`` or an ``image`` with ``initrds`` and ``arguments``.

    Without both, it is that of the next device of the boot order. ``node`` is the Node that matches the machine, "" if
    none does. With ``disk``, the machine installs the image there, and starts from it afterwards. ``release`` is the
    release that the machine is told to wait with, as CHANNEL:NUMBER, "" for none.
    """

    name: str
    node: str = ""
    image: BootPart | None = None
    kernel: BootPart | None = None
    initrds: tuple[BootPart, ...] = ()
    arguments: tuple[BootPart, ...] = ()
    root: Leaf | None = None
    disk: DiskPlan | None = None
    layers: tuple[str, ...] = ()
    release: str = ""


def netboot_documents(documents: Iterable[Document]) -> tuple[Document, ...]:
    """Return the documents that count, without the sections that do not, so that none of those can be in conflict."""
    documents = tuple(documents)
    labels = _labels(documents)
    known = (d for d in documents if d.kind in (Kind.LAYER, Kind.NODE) and not _unknown(d, labels))
    kept = ((d, {name: tree for name, tree in d.sections.children.items() if name in COUNTS}) for d in known)
    return tuple(
        replace(document, sections=replace(document.sections, children=children))
        for document, children in kept
        if children or document.kind is Kind.NODE
    )


def _labels(documents: Iterable[Document]) -> frozenset[str]:
    """Return the names of the labels that Nodes set."""
    return frozenset(name for document in documents for name in document.labels)


def _unknown(document: Document, labels: frozenset[str]) -> list[str]:
    """Return the facts that ``document`` matches on and that nobody knows yet, sorted."""
    further = (name for name in document.match if is_further_fact(name) and name not in labels)
    return sorted({*(UNKNOWN & document.match.keys()), *further})


def node_of(documents: Iterable[Document], facts: Facts) -> str:
    """Return the name of the Node that matches the machine with ``facts`` before a system runs, "" if none does."""
    nodes = _nodes(documents, facts)
    return nodes[0].name if nodes else ""


def pin_of(documents: Iterable[Document], facts: Facts) -> int:
    """Return the number of the release that the Node of the machine pins it to, 0 if there is none."""
    return next((node.pin for node in _nodes(documents, facts) if node.pin), 0)


def _nodes(documents: Iterable[Document], facts: Facts) -> list[Document]:
    return matching_nodes(documents, replace(facts, hostname="", labels={}, pinned=frozenset()), {})


def merge_netboot(documents: Iterable[Document], facts: Facts) -> tuple[Resolved, tuple[Problem, ...]]:
    """Return the layers that match before a system runs, merged, with the host name and labels of the Node.

    ``documents`` are those of `netboot_documents`, and the facts in `UNKNOWN` of a machine that runs do not count.
    Raises `Refused` if the layers contradict each other.
    """
    kept = tuple(documents)
    facts = replace(facts, hostname=node_of(kept, facts), labels={}, pinned=frozenset())
    # The Nodes of the other machines, which may be thousands, would be looked at several times more.
    layers = [document for document in kept if document.kind is not Kind.NODE]
    return resolve([*layers, *matching_nodes(kept, facts, {})], facts, {})


def resolve_netboot(documents: Iterable[Document], facts: Facts) -> tuple[BootTarget | None, tuple[Problem, ...]]:
    """Return the target of the machine with ``facts``, and the problems; None if no document says what it starts.

    ``documents`` are those of `netboot_documents`, with which a server answers many machines.
    There is no target either if one of the problems is more than a warning. Raises `Refused` if the layers contradict
    each other.
    """
    resolved, problems = merge_netboot(documents, facts)
    facts = resolved.facts
    all_problems = [problem for problem in problems if problem.code not in ("NothingMatches", "NullOfNothing")]
    values = plain(resolved.tree.branch("values"))
    assert isinstance(values, dict)
    scope = Scope(facts=facts, values=values, path_of=lambda _: "")
    netboot, wrong = expand(resolved.tree.branch(SECTION), scope, SECTION)
    builder = _TargetBuilder(netboot)
    target = builder.target(facts.hostname, next(iter(facts.mac), facts.system_uuid), resolved.layers)
    all_problems += [*wrong, *builder.problems]
    usable = all(problem.severity is Severity.WARNING for problem in all_problems)
    return target if usable else None, sorted_problems(all_problems)


def unknown_at_netboot(documents: Iterable[Document]) -> Iterator[Problem]:
    """Yield a warning for each layer whose ``netboot`` never counts, as it matches on a fact of a running system."""
    documents = tuple(documents)
    labels = _labels(documents)
    for document in documents:
        if document.kind not in (Kind.LAYER, Kind.NODE) or SECTION not in document.sections.children:
            continue
        for name in _unknown(document, labels):
            condition = document.match[name]
            what = f"{name} is not known before a system runs, so the netboot of this document never takes effect"
            hint = f"match on {', '.join(sorted(KNOWN))} or a label of the Node"
            yield warning(SECTION, condition.where, what, hint, "UnknownAtNetboot")


def _part(leaf: Leaf | None) -> BootPart | None:
    return None if leaf is None else BootPart(text=str(leaf.value), leaf=leaf)


class _TargetBuilder:
    def __init__(self, netboot: Branch) -> None:
        self.netboot = netboot
        self.problems: list[Problem] = []

    def target(self, node: str, address: str, layers: tuple[str, ...]) -> BootTarget | None:
        name = node or address
        if not self.netboot.children:
            return None
        root, kernel, image = (self.netboot.leaf(key) for key in ("root", "kernel", "image"))
        if root is not None and root.value == "next-device":
            return BootTarget(name=name, node=node, root=root, layers=layers)
        if kernel is None and image is None:
            hint = "set `image`, `kernel`, or `root: next-device`"
            self.block("", self.netboot.where, "netboot names neither an image nor a kernel", hint)
            return None
        if kernel is not None and image is not None:
            hint = "remove one of them, in the layer that overrides it: `image: null` or `kernel: null`"
            self.block("image", image.where, f"netboot names an image and a kernel (in {kernel.where})", hint)
            return None
        disk = None
        if root is not None and root.value == "disk":
            if image is None:
                self.block("root", root.where, "only an image can be installed to a disk", "set `image`, not `kernel`")
                return None
            disk, faults = disk_plan(self.netboot.branch("disk"))
            for fault in faults:
                self.problems.append(blocked(SECTION, fault.leaf.where, fault.what, fault.hint, "Netboot"))
        initrds = self.netboot.leaf("initrds")
        files = initrds.value if initrds is not None and isinstance(initrds.value, tuple) else ()
        self.check("kernel", kernel, netboot_file)
        self.check("image", image, netboot_image)
        for file in files:
            self.check(
                "initrds", replace(initrds or Leaf(value=None, where=self.netboot.where), value=file), netboot_file
            )
        target = BootTarget(
            name=name,
            node=node,
            image=_part(image),
            kernel=_part(kernel),
            initrds=tuple(BootPart(text=str(file), leaf=initrds) for file in files if initrds is not None),
            arguments=tuple(self.arguments()),
            root=root,
            disk=disk,
            layers=layers,
        )
        size = len(" ".join(argument.text for argument in target.arguments).encode())
        size += IMAGE_ARGUMENTS if image is not None else 0
        size += INSTALL_ARGUMENTS + len(" ".join(install_words(disk))) if disk is not None else 0
        if size > MAX_ARGUMENTS:
            what = f"the arguments have {size:,} bytes; the kernel reads {MAX_ARGUMENTS:,} and ignores the others"
            self.block("arguments", self.netboot.branch("arguments").where, what, "set fewer or shorter arguments")
        return target

    def check(self, key: str, leaf: Leaf | None, require: Callable[[str], None]) -> None:
        """Check a text that a template may have made: of a fact, which anybody in the network can send."""
        if leaf is None or not leaf.value:  # a template that cannot be expanded is a problem already
            return
        try:
            require(str(leaf.value))
        except ValueError as error:
            self.block(key, leaf.where, f"the template makes {str(leaf.value)[:80]!r} of {key}", str(error))

    def arguments(self) -> Iterator[BootPart]:
        """Yield the arguments, sorted by name: layers have no order among them."""
        for name, leaf in self.netboot.branch("arguments").leaves():
            for value in leaf.value if isinstance(leaf.value, tuple) else (None,):
                text = name if value is None else f"{name}={self.quoted(name, str(value), leaf)}"
                yield BootPart(text=text, leaf=leaf)

    def quoted(self, name: str, value: str, leaf: Leaf) -> str:
        """Return ``value`` as the kernel reads it (next_arg() in lib/cmdline.c) after iPXE has split and joined it.

        iPXE splits a line at white space, joins the words by one space each, takes words such as ``||`` for operators
        of its own, and replaces ``${…}`` (src/core/exec.c, src/core/settings.c). It has no quotes against that. Scripts
        of initrds know no quotes either: to them, each word is an argument.
        """
        words = value.split(" ")
        if _CONTROL.search(value) or '"' in value:
            self.refuse(name, leaf, "a control character or a double quote, which the kernel cannot read")
        elif "${" in value:
            self.refuse(name, leaf, "${, which iPXE replaces")
        elif "" in words[1:-1]:
            self.refuse(name, leaf, "two spaces in a row, of which iPXE removes one")
        elif any(word in ("||", "&&", ";") or word.startswith("#") for word in words[1:]):
            self.refuse(name, leaf, "a word that iPXE takes for an operator or a comment")
        elif any(_OF_AN_INITRD.match(word) for word in words[1:]):
            self.refuse(name, leaf, "a word behind a space that an initrd takes for an argument of its own")
        return f'"{value}"' if len(words) > 1 else value

    def refuse(self, name: str, leaf: Leaf, holds: str) -> None:
        self.block(pointer_below("arguments", name), leaf.where, f"the value holds {holds}", "write it in another way")

    def block(self, key: str, where: Where, what: str, hint: str) -> None:
        pointer = f"{SECTION}/{key}".rstrip("/")
        self.problems.append(blocked(SECTION, replace(where, pointer=pointer), what, hint, "Netboot"))
