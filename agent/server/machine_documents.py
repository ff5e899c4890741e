"""The documents of a directory, split so that each machine gets only the documents that could match it.

    texts ─split_documents▶ `MachineDocuments` ─for_machine▶ multi-document YAML

A document is left out only if its ``match`` names other machines (machine-id, hostname, mac). Labels and facts are
known only to the machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ordain.agent.delivery.source.http_source import MachineIdentity
from ordain.agent.model import RawDocument
from ordain.transforms.document.reader import read
from ordain.transforms.document.text.yaml_reader import PLACE_MARK
from ordain.transforms.errors import Problem, Refused, only_errors
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Document, Facts, Kind
from ordain.transforms.resolve.match import match_layer
from ordain.transforms.resolve.other_machines import mentions_machines
from ordain.transforms.resolve.resolve import with_default_match

_MARKER = lazy_pattern(rb"^---(?=\s|$)|^\.\.\.\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentText:
    """One document, its text, and the place of its first line (``web.yaml:12``)."""

    document: Document
    text: bytes
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineDocuments:
    """All documents, in the order of their files."""

    documents: tuple[DocumentText, ...] = ()

    def parsed(self, channel: str, number: int = 0) -> tuple[Document, ...]:
        """Return all documents; they are in no channel and no release."""
        return tuple(document.document for document in self.documents)

    def for_machine(self, identity: MachineIdentity, *, proven: bool = False) -> bytes:
        """Return the documents that could match the machine, each with a comment that names its place.

        If one of them calls `machines()`, the Nodes of all machines are among them. If the identity is ``proven``, the
        machine has no other machine-id, host name or MAC address than it states.
        """
        facts = facts_of(identity)
        chosen = [d for d in self.documents if could_match(d.document, facts, proven=proven)]
        if mentions_machines(document.text for document in chosen):
            numbers = {id(document) for document in chosen}
            chosen = [d for d in self.documents if id(d) in numbers or d.document.kind is Kind.NODE]
        return b"".join(
            PLACE_MARK.encode() + document.place.encode() + b"\n" + document.text.rstrip(b"\n") + b"\n"
            for document in chosen
        )


def split_documents(texts: Iterable[RawDocument]) -> MachineDocuments:
    """Return the documents in ``texts``.

    Raises `Refused` if one is not valid, because machines would refuse all of them then.
    """
    split: list[DocumentText] = []
    problems: list[Problem] = []
    for path, data in texts:
        documents, problems_of_file = read(path, data)
        problems += problems_of_file
        if not only_errors(problems_of_file):
            split += _split(path, data, documents)
    if only_errors(problems):
        raise Refused(problems)
    return MachineDocuments(documents=tuple(split))


def _split(path: str, data: bytes, documents: tuple[Document, ...]) -> Iterable[DocumentText]:
    """Yield each document with its text, which reaches from its marker to the next one."""
    markers = [(match.start(), match.end()) for match in _MARKER.finditer(data)]
    name = path.rpartition("/")[2]
    pieces = []
    begin = 0
    for start, end in [*markers, (len(data), len(data))]:
        pieces.append((data.count(b"\n", 0, begin) + 1, data[begin:start]))
        begin = end
    for document in documents:
        line, text = next(piece for piece in reversed(pieces) if piece[0] <= document.where.line)
        begun = text.lstrip(b"\n")
        yield DocumentText(document=document, text=begun, place=f"{name}:{line + len(text) - len(begun)}")


def facts_of(identity: MachineIdentity) -> Facts:
    """Return the facts that a machine has sent; all others are empty."""
    return Facts(id="", systemd=0, machine_id=identity.machine_id, hostname=identity.hostname, mac=identity.mac)


def could_match(document: Document, facts: Facts, *, proven: bool = False) -> bool:
    """Return whether the machine may match ``document``, as far as its identity (`facts_of`) tells.

    An identity that is not ``proven`` may leave something out that the machine knows.
    """
    known = {"machine-id": facts.machine_id, "hostname": facts.hostname, "mac": facts.mac}
    conditions = with_default_match(document).match
    decidable = {key: condition for key, condition in conditions.items() if known.get(key) or (proven and key in known)}
    return match_layer(replace(document, match=decidable), facts, {}).holds
