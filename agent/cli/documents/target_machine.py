"""The machine that a command uses: this one, or the one that options such as --os and --node describe."""

from __future__ import annotations

import dataclasses
import json
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path

from ordain.agent.cli.labels import parse_labels
from ordain.agent.cli.parse import Usage
from ordain.agent.errors import Failure
from ordain.agent.json_codec import from_json
from ordain.agent.model import to_json
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.document.formats.conditions import FACTS
from ordain.transforms.document.formats.fact_table import FACT_TABLE, SITE, is_further_fact
from ordain.transforms.errors import did_you_mean
from ordain.transforms.machine.fact_readers import read_details, read_now
from ordain.transforms.machine.facts import read_facts
from ordain.transforms.machine.installed_units import read_installed
from ordain.transforms.model import Document, Facts, Installed, Kind, MatchCondition
from ordain.transforms.resolve.used_facts import further_facts

_GLOB = set("*?[")
_TEXTS = frozenset(FACTS) - {"id", "os", "version", "systemd", "arch", "mac"}


def machine(request: Namespace, documents: Iterable[Document]) -> tuple[Facts, Installed | None]:
    """Return the facts and the installed units of the machine; None for the units of another machine.

    Raises `Usage` for options that contradict each other, `Failure` for a file of facts that cannot be used.
    """
    if request.facts and request.os:
        raise Usage("--facts and --os cannot be used together")
    systemd = _number(request.systemd) if request.systemd is not None else None
    here = not (request.facts or request.os or request.systemd or request.arch or request.node)
    if request.facts:
        facts = _stored(request.facts)
    elif request.os:
        facts = facts_for(request.os, systemd=systemd)
    else:
        facts = read_facts(request.root)
    if systemd is not None:
        facts = dataclasses.replace(facts, systemd=systemd)
    if request.arch:
        facts = dataclasses.replace(facts, arch=request.arch)
    if request.node:
        facts = as_node(facts, request.node, documents)
    labels = parse_labels(request.label)
    further = {} if request.facts or request.os else _here(request.root, further_facts(documents))
    facts = with_given(dataclasses.replace(facts, details={**further, **facts.details}), request.fact)
    facts = dataclasses.replace(facts, labels={**facts.labels, **labels}, pinned=facts.pinned | frozenset(labels))
    return facts, read_installed(request.root) if here else None


def _here(root: Path, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the further facts of this machine: those that its agent keeps, or, where none runs, those of now."""
    return {**read_now(root, names), **read_details(root, names)}


def with_given(facts: Facts, words: Iterable[str]) -> Facts:
    """Return ``facts`` with those that ``--fact NAME=VALUE`` sets; several values of one name are a list.

    Raises `Usage`.
    """
    given: dict[str, tuple[str, ...]] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise Usage(f"--fact must be NAME=VALUE, not {word!r}")
        given[name] = (*given.get(name, ()), value)
    for name, values in given.items():
        if is_further_fact(name):
            facts = dataclasses.replace(facts, details={**facts.details, name: values})
        elif name in _TEXTS:
            facts = dataclasses.replace(facts, **{name.replace("-", "_"): values[-1]})  # type: ignore[arg-type]
        elif name == "mac":
            facts = dataclasses.replace(facts, mac=tuple(value.lower() for value in values))
        else:
            hint = did_you_mean(name, {*_TEXTS, *FACT_TABLE, "mac"})
            known = hint or f"for facts of the site, write {SITE}{name}; --os, --systemd and --arch set the others"
            raise Usage(f"--fact: {name} is not a fact that can be set; {known}")
    return facts


def facts_to_json(facts: Facts) -> dict[str, object]:
    """Return the facts by the names that ``match`` uses; ``--facts`` reads this output."""
    return {name.replace("_", "-"): value for name, value in to_json(facts).items()}


def _stored(name: str) -> Facts:
    try:
        data = json.loads(Path(name).read_bytes())
        return _facts({key.replace("-", "_"): value for key, value in data.items()})
    except OSError as error:
        raise Failure(f"{name}: {error.strerror}") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise Failure(f"{name}: not the output of `ordainctl facts --json`: {error}") from error


def _facts(data: Mapping[str, object]) -> Facts:
    """Return facts from the output of `facts_to_json`. Raises `ValueError` or `TypeError`."""
    facts = from_json(Facts, data)
    facts = dataclasses.replace(facts, pinned=frozenset(facts.pinned))
    texts = [facts.id, facts.version, facts.arch, facts.virtualization, facts.hostname, facts.machine_id, facts.root]
    lists = [facts.like, facts.mac, tuple(facts.pinned), tuple(facts.labels), *facts.labels.values()]
    if not all(isinstance(text, str) for text in (*texts, *(text for values in lists for text in values))):
        raise ValueError("a value that must be a text is not")
    if not isinstance(facts.systemd, int):
        raise ValueError("systemd is not a number")
    return facts


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise Usage(f"--systemd must be a number, not {text!r}")
    return int(text)


def as_node(facts: Facts, name: str, documents: Iterable[Document]) -> Facts:
    """Return ``facts`` with those that the Node ``name`` matches on (docs/design/documents.md, rule 16)."""
    nodes = {d.name: d for d in documents if d.kind is Kind.NODE}
    if name not in nodes:
        hint = did_you_mean(name, nodes)
        raise Failure(f"there is no Node document called {name!r}" + (f"; {hint}" if hint else ""))
    match = nodes[name].match
    mac = _plain(match.get("mac"))
    return dataclasses.replace(
        facts,
        hostname=_plain(match.get("hostname")) or name,
        machine_id=_plain(match.get("machine-id")) or facts.machine_id,
        mac=(mac,) if mac else facts.mac,
    )


def _plain(condition: MatchCondition | None) -> str:
    """Return a value that fulfils ``condition``, "" if it names none."""
    if condition is None or condition.negated:
        return ""
    return next((v for v in condition.values if v and not _GLOB & set(v)), "")
