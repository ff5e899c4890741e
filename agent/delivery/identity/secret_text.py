"""Secrets in the texts of documents: written by us, found in the text of others, and sealed again in place.

A text keeps its comments and its order when a secret in it is sealed again: only what changes is replaced.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import yaml

from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Branch, strings
from ordain.transforms.sealed_secret import SealedSecret

_Edit = tuple[int, int, str]
"""The start and the end of a part of a text, and its replacement."""
_PLAIN = lazy_pattern(r"[A-Za-z_][A-Za-z0-9_.-]*")
_PLAIN_WORD = lazy_pattern(r"[A-Za-z_][A-Za-z0-9_./=+-]*|[0-9a-f]{16}:[A-Za-z0-9/=+]+")
"""A recipient, or a key as ID:BASE64, that needs no quotes in YAML."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretInDocument:
    """A secret of a document, who it is for, and the place of it."""

    secret: SealedSecret
    recipients: tuple[str, ...]
    where: str


def secrets_of(sections: Branch) -> Iterator[SecretInDocument]:
    """Yield the complete secrets in the sections of a document."""
    for name, branch in sections.branch("secrets").branches():
        value, keys, recipients = branch.leaf("value"), branch.leaf("keys"), branch.leaf("for")
        if value is None or keys is None or value.value is None or keys.value is None:
            continue
        copies = dict(word.partition(":")[::2] for word in strings(keys.value))
        words = strings(recipients.value) if recipients and recipients.value is not None else ()
        secret = SealedSecret(name=name, value=str(value.value), copies=copies)
        yield SecretInDocument(secret=secret, recipients=words, where=str(branch.where))


def as_section(secret: SealedSecret, recipients: Sequence[str]) -> str:
    """Return the section `secrets` with one secret, as YAML."""
    name = secret.name if _PLAIN.fullmatch(secret.name) else json.dumps(secret.name)
    words = ", ".join(recipient if _is_plain(recipient) else json.dumps(recipient) for recipient in recipients)
    keys = "\n".join(f"    - {id}:{copy}" for id, copy in sorted(secret.copies.items()))
    return f"secrets:\n  {name}:\n    for: [{words}]\n    value: {secret.value}\n    keys:\n{keys}\n"


def as_document(secret: SealedSecret, recipients: Sequence[str]) -> str:
    """Return a whole Layer with one secret, as YAML."""
    return f"ordain: v1\nkind: Layer\nname: secret-{secret.name}\n{as_section(secret, recipients)}"


def _is_plain(word: str) -> bool:
    return _PLAIN_WORD.fullmatch(word) is not None


def with_secrets(text: str, sealed: Mapping[str, SealedSecret], recipients: Sequence[str] = ()) -> str:
    """Return ``text``, a YAML or JSON file, with the secrets in ``sealed``, by the sealed value that they have there.

    Values and keys are replaced, and ``for`` if there are ``recipients``. Raises ValueError if a secret has no ``for``.
    """
    edits: list[_Edit] = []
    for root in yaml.compose_all(text, Loader=yaml.SafeLoader):
        for entry in _values(_value(root, "secrets")):
            value, keys, words = (_value(entry, key) for key in ("value", "keys", "for"))
            secret = sealed.get(value.value) if isinstance(value, yaml.ScalarNode) else None
            if secret is None or value is None or keys is None:
                continue
            edits.append(_new_list(keys, [f"{id}:{copy}" for id, copy in sorted(secret.copies.items())]))
            if value.value != secret.value:
                edits.append(_new_value(value, secret.value))
            if recipients and words is None:
                raise ValueError("it has no `for`, the list of its recipients")
            if recipients and words is not None:
                edits.append(_new_list(words, recipients))
    for start, end, new in sorted(set(edits), reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _new_list(node: yaml.Node, words: Sequence[str]) -> _Edit:
    """Return the list of ``words`` for the place of a list, or of its only word."""
    start = node.start_mark
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        lines = [f"- {word if _is_plain(word) else json.dumps(word)}" for word in words]
        return start.index, node.value[-1].end_mark.index, f"\n{' ' * start.column}".join(lines)
    return start.index, node.end_mark.index, json.dumps(list(words))


def _new_value(node: yaml.Node, value: str) -> _Edit:
    """Return ``value`` for the place of a text, in quotes unless it had none."""
    is_block = isinstance(node, yaml.ScalarNode) and node.style in ("|", ">")  # it ends after its last newline
    is_plain = isinstance(node, yaml.ScalarNode) and node.style is None
    new = value if is_plain else json.dumps(value)
    return node.start_mark.index, node.end_mark.index, f"{new}\n" if is_block else new


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next((value for name, value in pairs if name.value == key), None)


def _values(node: yaml.Node | None) -> Iterator[yaml.Node]:
    for _, value in node.value if isinstance(node, yaml.MappingNode) else ():
        yield value
