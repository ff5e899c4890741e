"""The documents of a directory, cut up so that each machine gets those that could be for it; pure.

    texts ─shelve▶ `MachineDocuments` ─for_machine▶ multi-document YAML

A document is left out only where it names other machines (machine-id, hostname, mac): labels and facts are the
machine's to know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ordain.agent.delivery.source.http_source import MachineIdentity
from ordain.agent.model import RawDocument
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem, Refused, only_errors
from ordain.transforms.model import Document, Facts
from ordain.transforms.resolve.match import matches
from ordain.transforms.resolve.resolve import with_default_match

_MARKER = re.compile(rb"^---(?=\s|$)|^\.\.\.\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentText:
    """One document, its text, and where that is from (``web.yaml:12``)."""

    document: Document
    text: bytes
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineDocuments:
    """All documents, in the order of their files."""

    sheets: tuple[DocumentText, ...] = ()

    def for_machine(self, asker: MachineIdentity) -> bytes:
        """The documents that could be for ``asker``, each with a comment that says where it is from."""
        facts = known_of(asker)
        return b"".join(
            b"---\n# from " + sheet.origin.encode() + b"\n" + sheet.text.strip(b"\n") + b"\n"
            for sheet in self.sheets
            if could_be_for(sheet.document, facts)
        )


def split_documents(texts: Iterable[RawDocument]) -> MachineDocuments:
    """The documents in ``texts`` (path and bytes). Raises `Refused` if one is wrong: machines would refuse them all."""
    sheets: list[DocumentText] = []
    problems: list[Problem] = []
    for path, data in texts:
        documents, found = read(path, data)
        problems += found
        if not only_errors(found):
            sheets += _cut(path, data, documents)
    if only_errors(problems):
        raise Refused(problems)
    return MachineDocuments(sheets=tuple(sheets))


def _cut(path: str, data: bytes, documents: tuple[Document, ...]) -> Iterable[DocumentText]:
    """The text of each document: from its marker to the next."""
    ends = [(match.start(), match.end()) for match in _MARKER.finditer(data)]
    name = path.rpartition("/")[2]
    pieces = []
    begin = 0
    for start, end in [*ends, (len(data), len(data))]:
        pieces.append((data.count(b"\n", 0, begin) + 1, data[begin:start]))
        begin = end
    for document in documents:
        line, text = next(piece for piece in reversed(pieces) if piece[0] <= document.where.line)
        yield DocumentText(document=document, text=text, origin=f"{name}:{line}")


def known_of(asker: MachineIdentity) -> Facts:
    """What a machine says of itself; the rest is empty."""
    return Facts(id="", systemd=0, machine_id=asker.machine_id, hostname=asker.hostname, mac=asker.mac)


def could_be_for(document: Document, facts: Facts) -> bool:
    """Whether nothing that is known (`known_of`) keeps ``document`` away from the machine."""
    known = {"machine-id": facts.machine_id, "hostname": facts.hostname, "mac": facts.mac}
    asked = with_default_match(document).match
    sure = {key: condition for key, condition in asked.items() if known.get(key)}
    return matches(replace(document, match=sure), facts, {}).holds
