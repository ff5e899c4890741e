"""render --netboot: prints the script with which a machine starts its system from the network."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Console
from ordain.agent.cli.documents.target_machine import as_node
from ordain.agent.cli.json_shapes import JsonBootScript, json_problems
from ordain.agent.cli.parse import Usage
from ordain.agent.errors import Failure
from ordain.agent.netboot.images import image_of, script_of
from ordain.transforms.errors import Problem, Refused, is_blocked, sorted_problems
from ordain.transforms.model import Document, Facts, Kind
from ordain.transforms.netboot.boot_target import (
    KNOWN,
    SECTION,
    BootTarget,
    netboot_documents,
    resolve_netboot,
    unknown_at_netboot,
)
from ordain.transforms.netboot.machine_query import BEFORE_ANY_SYSTEM, parse_mac

GIVEN = KNOWN - {"hostname", "mac", "arch"}
"""The facts for ``--fact``: the others have options of their own, or follow from the Node."""


def render_script(
    request: Namespace, documents: tuple[Document, ...], warnings: tuple[Problem, ...], console: Console
) -> Exit:
    """Print the script of one machine."""
    if request.os or request.facts or request.systemd or request.all_os or request.output or request.label:
        raise Usage("--netboot is used with --mac, --node, --arch and --fact only: no system runs yet")
    facts = _facts(request, documents)
    target, problems = resolve_netboot(netboot_documents(documents), facts)
    problems = sorted_problems((*warnings, *unknown_at_netboot(documents), *problems))
    script = _script(target, request.files) if target else ""
    if request.json:
        console.json(JsonBootScript(script=script, problems=json_problems(problems)))
    else:
        console.text(script)
        console.problems(problems)
        if target is None and not is_blocked(problems):
            name = next(iter(facts.mac), facts.system_uuid)
            console.note(f"no document names the image that {name} boots: it waits, and asks the server again")
    return Exit.DEGRADED if is_blocked(problems) else Exit.OK


def problems_of_nodes(documents: Iterable[Document]) -> tuple[Problem, ...]:
    """Return the problems of what the machines of all Nodes boot, and of a machine without a Node, each of them once.

    Nodes with the same labels and without a netboot of their own boot the same.
    """
    kept = netboot_documents(documents)
    if not any(document.sections.children.get(SECTION) for document in kept):
        return ()
    layers = [document for document in kept if document.kind is not Kind.NODE]
    nodes = {
        (*sorted(node.labels.items()), node.name * (SECTION in node.sections.children)): node
        for node in kept
        if node.kind is Kind.NODE
    }
    problems: dict[Problem, None] = {}
    for node in (None, *nodes.values()):
        own = [node] if node is not None else []
        facts = as_node(BEFORE_ANY_SYSTEM, node.name, own) if node is not None else BEFORE_ANY_SYSTEM
        try:
            # With the other Nodes as well, the time would grow with the square of their number.
            _, its_problems = resolve_netboot([*layers, *own], facts)
        except Refused as refused:
            its_problems = refused.problems
        problems |= dict.fromkeys(its_problems)
    return tuple(problems)


def _script(target: BootTarget, files: str | None) -> str:
    """Return the script that starts ``target``. Raises `Failure` if it cannot be made without the image."""
    if target.image is None:
        return script_of(target, None)
    if not files:
        raise Failure(f"{target.image.leaf.where}: the script names the files of the image; add --files FILES")
    return script_of(target, image_of(target, Path(files)))


def _facts(request: Namespace, documents: tuple[Document, ...]) -> Facts:
    """Return the facts that the options tell. Raises `Usage`."""
    facts = dataclasses.replace(BEFORE_ANY_SYSTEM, arch=request.arch or BEFORE_ANY_SYSTEM.arch)
    if request.node:
        facts = as_node(facts, request.node, documents)
    if request.mac:
        mac = parse_mac(request.mac)
        if not mac:
            raise Usage(f"--mac must be a MAC address such as 52:54:00:12:34:56, not {request.mac!r}")
        facts = dataclasses.replace(facts, mac=(mac,))
    facts = dataclasses.replace(facts, **_given(request.fact))
    if not facts.mac and not facts.system_uuid:
        if request.node:
            raise Failure(f"the Node {request.node} does not match on mac; add --mac, or match it on its mac")
        raise Usage("--netboot needs --mac, --node or --fact system-uuid=UUID")
    return facts


def _given(settings: list[str]) -> Mapping[str, Any]:
    """Return the facts of ``--fact NAME=VALUE``, by the names of `Facts`. Raises `Usage`."""
    facts: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if name not in GIVEN or not equals or not value:
            raise Usage(f"--fact must be NAME=VALUE with one of {', '.join(sorted(GIVEN))}, not {setting!r}")
        facts[name.replace("-", "_")] = value
    return facts
