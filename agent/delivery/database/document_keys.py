"""The keys of documents in a store, chosen so that a machine reads and watches no document that it can never match.

    documents/SCOPE/KIND/NAME        common/layer/base, role=web/layer/nginx, hostname=web3/node/web3
    releases/…  machines/…  status/…  enroll/…  locks/…    apart: other writers, other rights and other watchers

A document lies in the scope of the narrowest condition of its ``match`` that names values literally, once for each
value. A machine reads the scopes of its own facts and labels. The same text in several scopes is one document.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote, unquote

from ordain.transforms.document.formats.fact_table import is_further_fact
from ordain.transforms.model import Document, Facts, Kind, MatchCondition

DOCUMENTS = "documents/"
MACHINES = "machines/"
"""The prefix of the records of machines, which only administrators write (`identity.machine_record`)."""
COMMON = "common"
MAX_COPIES = 16
"""A document for more values than this has one key, in a scope that every machine with the label reads (``role=*``)."""

_MAX_KEY = 1900
"""The characters of the longest key of a document; the handover to the agent takes a little more."""
_IDENTITY = ("machine-id", "mac", "hostname")
_SYSTEM = {"id": "os", "os": "os"}
_NOT_LITERAL = (
    *("version", "systemd", "arch", "virtualization", "root", "system-firmware", "system-uuid"),
    *("system-serial-number", "system-manufacturer", "system-product-name"),
)
"""Facts that no scope is named after: machines of versions that do not know the fact read these documents as well."""
_GLOB = frozenset("*?[")


def scopes_of(document: Document) -> tuple[str, ...]:
    """Return the scopes in which a document lies, sorted."""
    match = document.match
    if document.kind is Kind.NODE and not match:
        match = {"hostname": MatchCondition(values=(document.name,))}
    ranked = sorted((_rank(name), len(c.values), name) for name, c in match.items() if _is_literal(name, c))
    if not ranked:
        return (COMMON,)
    _, count, name = ranked[0]
    if count > MAX_COPIES:
        return (COMMON,) if name in _IDENTITY or name in _SYSTEM else (f"{_quoted(name)}=*",)
    values = (value for value in match[name].values if value is not None)
    return tuple(sorted({_scope(name, value) for value in values}))


def scopes_for(facts: Facts) -> tuple[str, ...]:
    """Return the scopes that the machine with these facts and labels reads, sorted."""
    named = [*((("machine-id", facts.machine_id),) if facts.machine_id else ()), ("hostname", facts.hostname)]
    named += [("mac", mac) for mac in facts.mac] + [("os", name) for name in (facts.id, *facts.like)]
    named += [(name, value) for name, values in facts.labels.items() for value in values]
    any_value = [f"{_quoted(name)}=*" for name, values in facts.labels.items() if values]
    return tuple(sorted({COMMON, *any_value, *(_scope(name, value) for name, value in named)}))


def prefixes(scopes: Iterable[str], *, all_nodes: bool = False) -> tuple[str, ...]:
    """Return the prefixes of the keys in ``scopes``, to list and to watch.

    With ``all_nodes``, the scopes of all other machines are among them, as for documents that call `machines()`.
    """
    if not all_nodes:
        return tuple(f"{DOCUMENTS}{scope}/" for scope in scopes)
    shared = (f"{DOCUMENTS}{scope}/" for scope in scopes if not is_of_one_machine(scope))
    return (*shared, *(f"{DOCUMENTS}{name}=" for name in _IDENTITY))


def is_of_one_machine(scope: str) -> bool:
    """Return whether the documents in ``scope`` are for a machine by its identity, as Nodes are.

    >>> is_of_one_machine("hostname=web3"), is_of_one_machine("role=web")
    (True, False)
    """
    return scope.partition("=")[0] in _IDENTITY


def key(scope: str, kind: str, name: str) -> str:
    """Return the key of a document in one scope."""
    return f"{DOCUMENTS}{scope}/{kind.lower()}/{_quoted(name)}"


def keys_of(document: Document) -> tuple[str, ...]:
    """Return all keys of a document."""
    return tuple(key(scope, document.kind, document.name) for scope in scopes_of(document))


def parse_key(key: str) -> tuple[str, str, str] | None:
    """Return scope, kind and name from the key of a document, or None for any other key.

    A key that is too long to be that of a document, or that holds control characters or bytes that are not text, is
    that of another program. `key` makes no such key, and no machine could take its documents with it.

    >>> parse_key("documents/role=web/layer/nginx")
    ('role=web', 'layer', 'nginx')
    """
    parts = key.split("/")
    if len(parts) != 4 or parts[0] != "documents" or not all(parts) or len(key) > _MAX_KEY or not key.isprintable():
        return None
    return parts[1], parts[2], unquote(parts[3])


def _rank(name: str) -> int:
    return _IDENTITY.index(name) if name in _IDENTITY else len(_IDENTITY) + (name in _SYSTEM)


def _is_literal(name: str, condition: MatchCondition) -> bool:
    """Return whether a machine that fulfils the condition has one of its values literally."""
    if name in _NOT_LITERAL or is_further_fact(name) or condition.negated or None in condition.values:
        return False
    return name != "hostname" or not any(_GLOB & set(value or "") for value in condition.values)


def _scope(name: str, value: str) -> str:
    if name == "mac":
        value = value.lower().replace("-", ":")
    if name == "machine-id":
        value = value.lower().replace("-", "")
    return f"{_quoted(_SYSTEM.get(name, name))}={_quoted(value)}"


def _quoted(text: str) -> str:
    return quote(text, safe=":@+")
