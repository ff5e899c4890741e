"""The modules `runcmd` and `bootcmd` of cloud-config as services.

cloud-init runs the commands whatever they return, and only warns: so their exit status does not fail the service, and
with it the whole apply.
"""

from __future__ import annotations

import re
import shlex

from ordain.transforms.document.text.node import Node
from ordain.transforms.importing.draft.document_draft import DocumentDraft, Plain
from ordain.transforms.importing.draft.foreign_yaml import python_value
from ordain.transforms.importing.draft.yaml_values import UnusableValue, each, listed, python_text
from ordain.transforms.lazy_patterns import lazy_pattern

DONE = "/var/lib/cloud-runcmd/done"
PER = "/var/lib/cloud-bootcmd"
"""The directory of the marks that `cloud-init-per once` makes."""
_SHELL = lazy_pattern(r"[;&|<>$`(){}*?#~\n]")
_PER_HINT = "write the command without it, and a test that it has not run yet"


def add_runcmd(node: Node, draft: DocumentDraft) -> None:
    """Add a service that runs once on a machine, after its boot. Raises `UnusableValue`.

    It is one shell script, so that a `cd` affects the commands after it. As with cloud-init, it is marked as done
    before it begins, so that a command such as mkfs never runs twice.
    """
    if script := _script(node, draft, "runcmd"):
        entry: dict[str, Plain] = {
            "description": "Commands for a new machine",
            "command": _command(script, "runcmd", ", and is not run again"),
            "before-start": ["/usr/bin/touch", DONE],
            "type": "oneshot",
            "remain": True,
            "after": ["network-online"],
            "condition": {"path-exists": f"!{DONE}"},
            "directories": {"state": "cloud-runcmd"},
            "on-change": "none",
        }
        draft.add("services", "cloud-runcmd", entry, node.where)


def add_bootcmd(node: Node, draft: DocumentDraft) -> None:
    """Add a service that runs early in every boot. Raises `UnusableValue`."""
    if script := _script(node, draft, "bootcmd"):
        entry: dict[str, Plain] = {
            "description": "Commands for every boot",
            "command": _command(script, "bootcmd"),
            "type": "oneshot",
            "remain": True,
            "phase": "early",
            "on-change": "none",
        }
        if PER in script:
            entry["directories"] = {"state": "cloud-bootcmd"}
        draft.add("services", "cloud-bootcmd", entry, node.where)


def _command(script: str, name: str, then: str = "") -> Plain:
    warning = f'/bin/sh -c "$1" || echo "{name} ended with exit status $?{then}" >&2'
    return ["/bin/sh", "-c", warning, name, script]


def _script(node: Node, draft: DocumentDraft, what: str) -> str:
    lines: list[str] = []
    each(listed(node), lambda item: lines.extend(_lines(item)), draft, what)
    return "\n".join(lines)


def _lines(item: Node) -> list[str]:
    """Return one command as a line of a shell script; null is none."""
    if item.value is None:
        return []
    if isinstance(item.value, tuple):
        words = [python_text(word) for word in item.value]
        return [_per(item, words) if words[:1] == ["cloud-init-per"] else shlex.join(words)]
    line = python_text(item).rstrip("\n")
    if not isinstance(python_value(item), str):
        raise UnusableValue(item, f"{line} is not a command", "write it in quotes")
    if "INSTANCE_ID" in line:
        raise UnusableValue(item, "only cloud-init sets INSTANCE_ID", "write the id of the machine")
    if re.match(r"\s*cloud-init-per\s", line) and not _SHELL.search(line):
        return [_per(item, shlex.split(line))]
    if "cloud-init-per" in line:
        raise UnusableValue(item, "cloud-init-per is a program of cloud-init", _PER_HINT)
    return [line]


def _per(item: Node, words: list[str]) -> str:
    """Return the command of ``cloud-init-per FREQUENCY NAME COMMAND…``, with its mark unless it runs always."""
    if len(words) < 4 or words[1] not in {"always", "once", "instance"} or not re.fullmatch(r"[\w.-]+", words[2]):
        raise UnusableValue(item, "cloud-init-per needs a frequency, a name and a command", _PER_HINT)
    command = shlex.join(words[3:])
    mark = f"{PER}/{words[2]}"
    return command if words[1] == "always" else f"[ -e {mark} ] || {{ {command}; touch {mark}; }}"
