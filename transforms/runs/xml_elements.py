"""Reads XML safely into elements with their places: no document type, no entities, nothing external.

defusedxml's parser refuses these before expat expands them. It is loaded only when there is XML to read.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler, feature_namespaces
from xml.sax.xmlreader import InputSource

from ordain.transforms.document.text.node import MAX_BYTES, MAX_DEPTH, ReadLimits, Unreadable
from ordain.transforms.errors import Where


@dataclass(slots=True, kw_only=True)
class XmlElement:
    """An element: its namespace and name, its attributes by local name, its text, and the elements in it."""

    namespace: str
    name: str
    attributes: Mapping[str, str]
    where: Where
    text: str = ""
    children: list[XmlElement] = field(default_factory=list)

    @property
    def words(self) -> str:
        """Return the text without blanks around it."""
        return self.text.strip()

    def find(self, name: str) -> XmlElement | None:
        """Return the first child called ``name``."""
        return next((child for child in self.children if child.name == name), None)

    def all(self, name: str) -> Iterator[XmlElement]:
        """Yield the children called ``name``."""
        yield from (child for child in self.children if child.name == name)


def read_elements(path: str, data: bytes) -> XmlElement:
    """Return the root element of an XML text. Raises `Unreadable`."""
    if len(data) > MAX_BYTES:
        raise Unreadable(f"the file has {len(data):,} bytes; at most {MAX_BYTES:,} are allowed", Where(path=path))
    from defusedxml.common import DefusedXmlException
    from defusedxml.expatreader import create_parser

    handler = _Handler(path)
    parser: Any = create_parser(forbid_dtd=True, forbid_entities=True, forbid_external=True)
    parser.setFeature(feature_namespaces, True)
    parser.setContentHandler(handler)
    source = InputSource(path)
    source.setByteStream(io.BytesIO(data))
    try:
        parser.parse(source)
    except DefusedXmlException as error:
        what = f"the XML has a document type or an entity, which is not allowed ({type(error).__name__})"
        where = Where(path=path, line=parser.getLineNumber() or 0, column=(parser.getColumnNumber() or 0) + 1)
        raise Unreadable(what, where, "remove <!DOCTYPE …> and write the text itself") from None
    except SAXParseException as error:
        where = Where(path=path, line=error.getLineNumber() or 0, column=(error.getColumnNumber() or 0) + 1)
        raise Unreadable(f"not well-formed XML: {error.getMessage()}", where) from None
    except (ValueError, LookupError) as error:  # an encoding that is unknown or does not fit
        raise Unreadable(f"not readable as XML: {error}", Where(path=path), "save the file as UTF-8") from None
    assert handler.root is not None
    return handler.root


class _Handler(ContentHandler):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.root: XmlElement | None = None
        self.open: list[XmlElement] = []
        self.texts: list[list[str]] = []
        self.limits = ReadLimits()
        self.locator: Any = None

    def setDocumentLocator(self, locator: Any) -> None:
        """Keep the locator, which knows the place of each event."""
        self.locator = locator

    def startElementNS(self, name: Any, qname: Any, attrs: Any) -> None:
        """Begin an element."""
        line, column = self.locator.getLineNumber() or 0, (self.locator.getColumnNumber() or 0) + 1
        where = Where(path=self.path, line=line, column=column)
        self.limits.count_value(where)
        if len(self.open) > MAX_DEPTH:
            raise Unreadable(f"nested deeper than {MAX_DEPTH} levels", where)
        attributes = {key: value for (_, key), value in attrs.items()}
        element = XmlElement(namespace=name[0] or "", name=name[1], attributes=attributes, where=where)
        if self.open:
            self.open[-1].children.append(element)
        else:
            self.root = element
        self.open.append(element)
        self.texts.append([])

    def endElementNS(self, name: Any, qname: Any) -> None:
        """End an element."""
        self.open.pop().text = "".join(self.texts.pop())

    def characters(self, content: str) -> None:
        """Add to the text of the element."""
        self.texts[-1].append(content)

    def skippedEntity(self, name: str) -> None:
        """Refuse an entity that the parser does not know."""
        raise Unreadable(f"the entity &{name}; is not allowed", Where(path=self.path), "write the character itself")
