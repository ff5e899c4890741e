"""Works out the numbers of a job from its resources: what the documents set, and what follows from it.

    nodes, tasks, tasks-per-node ─▶ the third from the other two; CPUs, memory and GPUs by node, task and CPU

`EXPRESSED_BY` says which numbers express a key of a document, so that a system that prints 8 tasks with 4 on each node
has said that there are 2 nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ordain.transforms.errors import Problem
from ordain.transforms.model import Branch, Leaf
from ordain.transforms.runs.patterns import PatternValue
from ordain.transforms.systemd.values import INFINITY, size, timespan

EXPRESSED_BY: Mapping[str, tuple[frozenset[str], ...]] = {
    key: tuple(frozenset(names.split()) for names in alternatives)
    for key, alternatives in {
        "resources/nodes": ("nodes", "tasks tasks-per-node packed", "one-node"),
        "resources/tasks": ("tasks", "nodes tasks-per-node evenly", "cpus", "serial"),
        "resources/tasks-per-node": (
            "tasks-per-node",
            "nodes tasks evenly",
            "one-node cpus",
            "one-node tasks",
            "serial",
        ),
        "resources/cpus-per-task": ("cpus-per-task", "cpus-each-task", "cpus-per-node", "cpus", "serial"),
        "resources/memory": ("memory", "memory-per-task", "memory-each-cpu", "memory-total"),
        "resources/memory-per-cpu": ("memory-per-cpu", "memory", "memory-per-task", "memory-each-cpu", "memory-total"),
        "resources/gpus": ("gpus", "gpus-per-task", "gpus-total"),
        "resources/gpus-per-task": ("gpus-per-task", "gpus", "gpus-total"),
        "resources/gpu-type": ("gpu-type",),
        "resources/features": ("features",),
        "resources/time": ("time",),
        "resources/exclusive": ("exclusive",),
        "resources/scratch": ("scratch",),
        "account": ("account",),
        "queue": ("queue",),
        "mail/to": ("mail-to",),
        "mail/on": ("mail-events",),
        "array/most-at-once": ("most-at-once",),
        "inherit-environment": ("clean-environment", "inherit-environment"),
    }.items()
}
"""For each key that a system must express, sets of variables; to use all of one set is enough.

``evenly``: each node has tasks-per-node. ``packed``: the tasks need all nodes. No pattern uses these two.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobNumbers:
    """The numbers of a job by the names that patterns use, and for each the values of documents that it comes from."""

    values: Mapping[str, PatternValue]
    causes: Mapping[str, tuple[Leaf, ...]]
    problems: tuple[Problem, ...] = ()

    def facts(self) -> Iterator[str]:
        """Yield those of ``evenly`` and ``packed`` that hold (`EXPRESSED_BY`)."""
        nodes, tasks, tasks_per_node = (self.values.get(name) for name in ("nodes", "tasks", "tasks-per-node"))
        if isinstance(nodes, int) and isinstance(tasks, int) and isinstance(tasks_per_node, int):
            if nodes * tasks_per_node == tasks:
                yield "evenly"
            if -(-tasks // tasks_per_node) == nodes:
                yield "packed"


def job_numbers(tree: Branch) -> JobNumbers:
    """Return the numbers of the run with the keys ``tree``, and a problem for each that contradicts another."""
    return _Numbers(tree.branch("resources")).worked_out()


class _Numbers:
    def __init__(self, resources: Branch) -> None:
        self.leaves = dict(resources.leaves())
        self.values: dict[str, PatternValue] = {}
        self.causes: dict[str, tuple[Leaf, ...]] = {}
        self.problems: list[Problem] = []

    def worked_out(self) -> JobNumbers:
        self.places()
        self.cpus()
        self.memory()
        self.gpus()
        for key in ("time", "scratch"):
            if leaf := self.leaves.get(key):
                self.set(key, _seconds(leaf) if key == "time" else size(str(leaf.value)), key)
        if self.values.get("time") == _ENDLESS:
            self.problem("time", "a run cannot have an infinite time", "remove the key to get the time of the queue")
        if self.values.get("time") == 0:
            self.problem("time", "a run needs a time of at least one second", "write the longest time that it may take")
        if "time" not in self.values:
            self.set("no-time", True, "time")
        if self.flag("exclusive"):
            self.set("exclusive", True, "exclusive")
        if gpu_type := self.leaves.get("gpu-type"):
            self.set("gpu-type", str(gpu_type.value), "gpu-type")
        return JobNumbers(values=self.values, causes=self.causes, problems=tuple(self.problems))

    def number(self, key: str) -> int | None:
        leaf = self.leaves.get(key)
        return leaf.value if leaf and isinstance(leaf.value, int) and leaf.value is not True else None

    def flag(self, key: str) -> bool:
        leaf = self.leaves.get(key)
        return leaf is not None and leaf.value is True

    def set(self, name: str, value: PatternValue, *sources: str) -> None:
        """Set a number; ``sources`` are the keys and numbers that it follows from, the main one first."""
        self.values[name] = value
        leaves = [self.causes.get(s) or ((self.leaves[s],) if s in self.leaves else ()) for s in sources]
        if causes := tuple(dict.fromkeys(leaf for leaves_of_one in leaves for leaf in leaves_of_one)):
            self.causes[name] = causes

    def problem(self, key: str, what: str, hint: str) -> None:
        self.problems.append(Problem(where=self.leaves[key].where, what=what, hint=hint, code="Resources"))

    def places(self) -> None:
        """Set nodes and tasks. The nodes stay open if only `tasks` is set: then the system chooses."""
        nodes, tasks, tasks_per_node = (self.number(key) for key in ("nodes", "tasks", "tasks-per-node"))
        if tasks is None:
            nodes = nodes or 1
            tasks = nodes * (tasks_per_node or 1)
        if tasks_per_node and nodes is None:
            nodes = -(-tasks // tasks_per_node)
        if nodes is None and tasks == 1:
            nodes = 1
        if nodes and tasks_per_node and nodes * tasks_per_node < tasks:
            what = f"{tasks} tasks do not fit on {nodes} nodes with {tasks_per_node} on each"
            self.problem("tasks", what, "change one of nodes, tasks and tasks-per-node")
        if nodes and nodes > tasks:
            what = f"{nodes} nodes are more than the {tasks} tasks that could run on them"
            self.problem("nodes", what, "set `tasks-per-node`, or use fewer nodes")
        self.set("tasks", tasks, *(("tasks",) if "tasks" in self.leaves else ("tasks-per-node", "nodes")))
        self.set("with-tasks", True, "tasks")
        if nodes is None:
            return
        self.set("nodes", nodes, *(("nodes",) if "nodes" in self.leaves else ("tasks-per-node", "tasks")))
        self.set("one-node" if nodes == 1 else "many-nodes", True, "nodes")
        if tasks_per_node or tasks % nodes == 0:
            self.set(
                "tasks-per-node",
                tasks_per_node or tasks // nodes,
                *(("tasks-per-node",) if tasks_per_node else ("tasks", "nodes")),
            )

    def cpus(self) -> None:
        of_task = self.number("cpus-per-task")
        if of_task:
            self.set("cpus-per-task", of_task, "cpus-per-task")
        each_task = of_task or 1
        tasks, on_node = self.values["tasks"], self.values.get("tasks-per-node")
        assert isinstance(tasks, int)
        self.set("cpus-each-task", each_task, "cpus-per-task")
        self.set("cpus", tasks * each_task, "cpus-per-task", "tasks")
        if tasks * each_task == 1:
            self.set("serial", True, "tasks", "cpus-per-task")
        if isinstance(on_node, int):
            self.set("cpus-per-node", on_node * each_task, "cpus-per-task", "tasks-per-node")

    def memory(self) -> None:
        leaf, of_cpu = self.leaves.get("memory"), self.leaves.get("memory-per-cpu")
        cpus = self.values.get("cpus-per-node")
        each_task = self.values["cpus-each-task"]
        assert isinstance(each_task, int)
        if of_cpu:
            bytes_ = size(str(of_cpu.value))
            self.set("memory-per-cpu", bytes_, "memory-per-cpu")
            self.set("memory-each-cpu", bytes_, "memory-per-cpu")
            self.set("memory-per-task", bytes_ * each_task, "memory-per-cpu", "cpus-per-task")
            if isinstance(cpus, int):
                self.set("memory", bytes_ * cpus, "memory-per-cpu", "cpus-per-node")
        elif leaf:
            self.set("memory", bytes_ := size(str(leaf.value)), "memory")
            if isinstance(cpus, int):
                self.set("memory-each-cpu", -(-bytes_ // cpus), "memory", "cpus-per-node")
                self.set("memory-per-task", -(-bytes_ * each_task // cpus), "memory", "cpus-per-node")
        if given := leaf or of_cpu:
            if size(str(given.value)) == 0:
                key = "memory" if leaf else "memory-per-cpu"
                self.problem(key, "a run cannot have no memory", "write a size such as 512M, or remove the key")
            self.set("with-memory", True, "memory", "memory-per-cpu")
        memory, nodes = self.values.get("memory"), self.values.get("nodes")
        if isinstance(memory, int) and isinstance(nodes, int):
            self.set("memory-total", memory * nodes, "memory", "nodes")

    def gpus(self) -> None:
        gpus, of_task = self.number("gpus"), self.number("gpus-per-task")
        if of_task:
            self.gpus_by_task(of_task)
            return
        if not gpus:
            if "gpu-type" in self.leaves:
                self.problem(
                    "gpu-type", "a type of GPU without a number of GPUs", "set resources/gpus or gpus-per-task, too"
                )
            return
        self.set("gpus", gpus, "gpus")
        self.set("with-gpus", True, "gpus")
        nodes, on_node = self.values.get("nodes"), self.values.get("tasks-per-node")
        if isinstance(nodes, int):
            self.set("gpus-total", gpus * nodes, "gpus", "nodes")
        if isinstance(on_node, int) and gpus % on_node == 0:
            self.set("gpus-per-task", gpus // on_node, "gpus", "tasks-per-node")

    def gpus_by_task(self, of_task: int) -> None:
        tasks, on_node = self.values["tasks"], self.values.get("tasks-per-node")
        assert isinstance(tasks, int)
        self.set("gpus-per-task", of_task, "gpus-per-task")
        self.set("gpus-by-task", True, "gpus-per-task")
        self.set("with-gpus", True, "gpus-per-task")
        self.set("gpus-total", of_task * tasks, "gpus-per-task", "tasks")
        if isinstance(on_node, int):
            self.set("gpus", of_task * on_node, "gpus-per-task", "tasks-per-node")


_ENDLESS = 2**31


def _seconds(leaf: Leaf) -> int:
    """Return a time span in seconds, rounded up; `_ENDLESS` for infinity."""
    usec = timespan(str(leaf.value))
    return -(-usec // 1_000_000) if usec < INFINITY else _ENDLESS
