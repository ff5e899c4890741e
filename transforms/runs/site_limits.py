"""Compares a run with its site: the neutral words that the system must know, and the limits of system and queue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ordain.transforms.errors import Problem, did_you_mean
from ordain.transforms.model import Branch, Leaf, strings
from ordain.transforms.runs.job_numbers import JobNumbers
from ordain.transforms.runs.patterns import span_text
from ordain.transforms.runs.scheduler_rows import RunSystem
from ordain.transforms.systemd.values import size, timespan

_NUMBERS = {
    "time": "time",
    "nodes": "nodes",
    "tasks": "tasks",
    "cpus-per-node": "cpus-per-node",
    "memory-per-node": "memory",
    "gpus-per-node": "gpus",
    "scratch-per-node": "scratch",
    "elements": "elements",
}
"""For each limit, the number of a run that it limits."""
_NOUNS = {
    "time": "a time of {}",
    "nodes": "{} nodes",
    "tasks": "{} tasks",
    "cpus-per-node": "{} CPUs on each node",
    "memory": "{} of memory on each node",
    "gpus": "{} GPUs on each node",
    "scratch": "{} of local disk on each node",
    "elements": "{} elements",
}


def over_limits(numbers: JobNumbers, system: RunSystem, queue: str, elements: int, place: Leaf) -> Iterator[Problem]:
    """Yield a problem for each number that is over a limit of the system or of its queue ``queue``.

    ``place`` is the place of a number that no key of the run sets.
    """
    values, causes = {**numbers.values, "elements": elements}, dict(numbers.causes)
    if "cpus-per-node" not in values:
        # The tasks may be on any nodes, but each of them must fit on one.
        values["cpus-per-node"] = values["cpus-each-task"]
        causes["cpus-per-node"] = causes.get("cpus-each-task", (place,))
    if "memory" not in values and "memory-per-task" in values:
        values["memory"] = values["memory-per-task"]
        causes["memory"] = causes.get("memory-per-task", (place,))
    if "gpus" not in values and "gpus-per-task" in values:
        values["gpus"] = values["gpus-per-task"]
        causes["gpus"] = causes.get("gpus-per-task", (place,))
    own = system.queue(queue) if queue else None
    rows = [(f"the queue {queue} of {system.name}", own)] if own else []
    rows.append((f"the system {system.name}", system.row.branch("limits")))
    reported: set[str] = set()
    for title, limits in rows:
        for limit, number in _NUMBERS.items():
            leaf, value = limits.leaf(limit), values.get(number)
            if leaf is None or not isinstance(value, int) or number in reported:
                continue
            most = _limit(leaf, limit)
            if value > most:
                reported.add(number)
                cause = causes.get(number, (place,))[0]
                asked = _NOUNS[number].format(_shown(number, value))
                what = f"{asked} is more than {_shown(number, most)}, the limit of {title}"
                hint = _larger_queue(limit, value, system) or f"use less; the limit is at {leaf.where}"
                yield Problem(where=cause.where, what=what, hint=hint, code="OverLimit")


def _limit(leaf: Leaf, limit: str) -> int:
    if limit == "time":
        return timespan(str(leaf.value)) // 1_000_000
    if limit.startswith(("memory", "scratch")):
        return size(str(leaf.value))
    assert isinstance(leaf.value, int)
    return leaf.value


def _larger_queue(limit: str, value: int, system: RunSystem) -> str:
    """Return a hint with the queues whose limit admits ``value``."""
    whole = system.row.branch("limits").leaf(limit)
    if whole and value > _limit(whole, limit):
        return ""
    fitting = [
        word
        for word, row in system.row.branch("queues").branches()
        if (leaf := row.leaf(limit)) is None or value <= _limit(leaf, limit)
    ]
    return f"use less, or a queue that allows it: {', '.join(fitting)}" if fitting else ""


def _shown(number: str, value: int) -> str:
    text = str(value)
    if number == "time":
        text = span_text(value, "%H:%M:%S")
    elif number in {"memory", "scratch"}:
        unit = next((u for u in ("T", "G", "M", "K") if value % 1024 ** ("KMGT".index(u) + 1) == 0), "")
        text = f"{value // 1024 ** ('KMGT'.index(unit) + 1)}{unit}" if unit and value else f"{value} bytes"
    return text


def translated(
    key: str, word: str, leaf: Leaf, words: Mapping[str, str], system: RunSystem, section: str
) -> str | Problem:
    """Return the system's word for the neutral word in ``leaf``; a system that describes no words takes any."""
    if not words or word in words:
        return words.get(word, word)
    hint = did_you_mean(word, words) or f"known: {', '.join(sorted(words))}"
    what = f"the system {system.name} has no {key} {word}"
    hint = f"{hint}; a Transform with systems/{system.name}/{section} adds one"
    return Problem(where=leaf.where, what=what, hint=hint, code="UnknownName")


def real_modules(tree: Branch, system: RunSystem) -> Iterator[tuple[str, Leaf, Leaf | None] | Problem]:
    """Yield each module that the run loads with its cause and its row, or a problem for an unknown one."""
    known = {name: leaf for name, leaf in system.row.branch("modules").leaves()}
    for name, child in tree.branch("modules").children.items():
        assert isinstance(child, Leaf)
        if isinstance(child.value, str):
            yield child.value, child, None
        elif name in known:
            for module in strings(known[name].value):
                yield module, child, known[name]
        else:
            hint = did_you_mean(name, known) or f"add it to systems/{system.name}/modules in a Transform"
            what = f"the system {system.name} has no module {name}"
            hint += f", or name the module itself: `modules: {{{name}: MODULE}}`"
            yield Problem(where=child.where, what=what, hint=hint, code="UnknownModule")
