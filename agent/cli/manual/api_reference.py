"""docs/reference/boot-server-api.md, made from the API: `python3 -m ordain.agent.cli.manual.api_reference`."""

from __future__ import annotations

import ast
import inspect
import itertools
import sys
import typing
from enum import StrEnum
from typing import Any

from ordain.agent.cli.manual.json_reference import collect, link, section
from ordain.agent.netboot.machine_records import NetbootStep
from ordain.agent.server.api import PREFIX, BootApi
from ordain.agent.server.api_shapes import ApiRefusal, BootState, Machine

_HEAD = """\
# API of the boot server

<!-- Made by `python3 -m ordain.agent.cli.manual.api_reference`: do not edit. -->

`ordainctl serve --tokens FILE` answers these requests with JSON ([how-to](../howto/boot-server-page.md)). The page at
`/fleet/` uses nothing else. Send the token of `ordainctl netboot token` as `Authorization: Bearer TOKEN`.

A key that is described here keeps its name, its type and its meaning. New keys may come: ignore those that you do not
know.

| request | right | body | answer |
|---|---|---|---|
"""
_BODIES = {
    "adopt": '`{"name": "web7", "labels": {"role": "web"}}`; `labels` is optional',
    "PUT once": '`{"image": "debian-13:5"}`',
}
_ANSWERS: dict[str, Any] = {"/machines": tuple[Machine, ...]}
"""The answers that are kept as text."""
_STATUSES = """
`{machine}` is a MAC address, a UUID, or the name of a Node. An error has the status 400 (the request is wrong), 401 (no
token, or one that is not known), 403 (the token does not have the right), 404 (no such machine), 409 (it cannot be done
now), 408, 413 or 415 (the body), and an [ApiRefusal](#apirefusal) with the reason and the remedy.
A `POST` without a token, where the line `*` allows it, needs `Content-Type: application/json`: a browser does not send
that for a page of another site.
"""


def markdown() -> str:
    """Return the whole page."""
    rows = [*object.__new__(BootApi).routes()]
    kinds: dict[str, Any] = {}
    lines = []
    for method, path, right, handler in rows:
        shape = _ANSWERS.get(path) or typing.get_type_hints(handler)["return"]
        collect(shape, kinds)
        last = path.rpartition("/")[2]
        body = _BODIES.get(last) or _BODIES.get(f"{method} {last}", "")
        lines.append(f"| `{method} {PREFIX}{path}` | {right or 'none'} | {body} | {link(shape)} |\n")
    collect(ApiRefusal, kinds)
    sections = [section(name, kinds[name]) for name in sorted(kinds)]
    words = [_words("States of a machine", BootState), _words("Steps of a boot", NetbootStep)]
    return _HEAD + "".join(lines) + _STATUSES + "\n## Objects\n" + "".join(sections) + "".join(words)


def _words(title: str, kind: type[StrEnum]) -> str:
    """Return the section of the words of an enum, whose meanings are the strings below them in the source."""
    meanings = _meanings(kind)
    rows = [f"| {one.value} | {meanings[one.name]} |\n" for one in kind]
    return f"\n## {title}\n\n| word | meaning |\n|---|---|\n" + "".join(rows)


def _meanings(kind: type[StrEnum]) -> dict[str, str]:
    body = typing.cast(ast.ClassDef, ast.parse(inspect.getsource(kind)).body[0]).body
    pairs = itertools.pairwise(body)
    return {
        assign.targets[0].id: " ".join(str(ast.literal_eval(text.value)).split())
        for assign, text in pairs
        if isinstance(assign, ast.Assign) and isinstance(assign.targets[0], ast.Name) and isinstance(text, ast.Expr)
    }


if __name__ == "__main__":
    sys.stdout.write(markdown())
