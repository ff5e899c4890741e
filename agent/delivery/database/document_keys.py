"""Where documents lie in a store, so that a machine reads and watches nothing it can never match.

    documents/SCOPE/KIND/NAME        common/layer/base, role=web/layer/nginx, hostname=web3/node/web3
    releases/…   status/…   locks/…  apart: other writers, other rights, other watchers

A document lies in the scope of the narrowest condition of its ``match`` that names values outright, once for each
value; a machine reads the scopes of what it is. The same text in several scopes is one document. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote, unquote

from ordain.transforms.model import Condition, Document, Facts, Kind

DOCUMENTS = "documents/"
COMMON = "common"
MOST_COPIES = 16
"""A document for more values than this lies once: where every machine with that label, whatever its value, reads."""

_IDENTITY = ("machine-id", "mac", "hostname")
_SYSTEM = {"id": "os", "os": "os"}
_UNNAMED = ("version", "systemd", "arch", "virtualization", "root")
_GLOB = frozenset("*?[")


def scopes_of(document: Document) -> tuple[str, ...]:
    """The scopes a document lies in, sorted."""
    match = document.match
    if document.kind is Kind.NODE and not match:
        match = {"hostname": Condition(values=(document.name,))}
    ranked = sorted((_rank(name), len(c.values), name) for name, c in match.items() if _names_values(name, c))
    if not ranked:
        return (COMMON,)
    _, count, name = ranked[0]
    if count > MOST_COPIES:
        return (COMMON,) if name in _IDENTITY or name in _SYSTEM else (f"{_word(name)}=*",)
    values = (value for value in match[name].values if value is not None)
    return tuple(sorted({_scope(name, value) for value in values}))


def scopes_for(facts: Facts) -> tuple[str, ...]:
    """The scopes of the machine with these facts and labels, sorted."""
    named = [*((("machine-id", facts.machine_id),) if facts.machine_id else ()), ("hostname", facts.hostname)]
    named += [("mac", mac) for mac in facts.mac] + [("os", name) for name in (facts.id, *facts.like)]
    named += [(name, value) for name, values in facts.labels.items() for value in values]
    any_value = [f"{_word(name)}=*" for name, values in facts.labels.items() if values]
    return tuple(sorted({COMMON, *any_value, *(_scope(name, value) for name, value in named)}))


def prefixes(scopes: Iterable[str]) -> tuple[str, ...]:
    """What to list and watch for ``scopes``."""
    return tuple(f"{DOCUMENTS}{scope}/" for scope in scopes)


def key(scope: str, kind: str, name: str) -> str:
    """The key of a document in one scope."""
    return f"{DOCUMENTS}{scope}/{kind.lower()}/{_word(name)}"


def keys_of(document: Document) -> tuple[str, ...]:
    """Every key a document lies under."""
    return tuple(key(scope, document.kind, document.name) for scope in scopes_of(document))


def split(text: str) -> tuple[str, str, str] | None:
    """Scope, kind and name of a document's key; None for any other key.

    >>> split("documents/role=web/layer/nginx")
    ('role=web', 'layer', 'nginx')
    """
    parts = text.split("/")
    if len(parts) != 4 or parts[0] != "documents" or not all(parts):
        return None
    return parts[1], parts[2], unquote(parts[3])


def _rank(name: str) -> int:
    return _IDENTITY.index(name) if name in _IDENTITY else len(_IDENTITY) + (name in _SYSTEM)


def _names_values(name: str, condition: Condition) -> bool:
    """Whether a machine for which the condition holds has one of its values, to the letter."""
    if name in _UNNAMED or condition.negated or None in condition.values:
        return False
    return name != "hostname" or not any(_GLOB & set(value or "") for value in condition.values)


def _scope(name: str, value: str) -> str:
    if name == "mac":
        value = value.lower().replace("-", ":")
    if name == "machine-id":
        value = value.lower().replace("-", "")
    return f"{_word(_SYSTEM.get(name, name))}={_word(value)}"


def _word(text: str) -> str:
    return quote(text, safe=":@+")
