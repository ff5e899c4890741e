"""A fact that the administrator should know, as the status and the outcome of an apply list it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from ordain.transforms.errors import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCondition:
    """A fact that the administrator should know; ``code`` is a stable CamelCase name, ``item`` the item concerned.

    ``fault``: the machine is not as the documents want it. While there is such a condition, the state is not
    `status.AgentState.CONVERGED`. ``enforced``: the agent corrects it by itself (`drift: enforce`). ``public`` is the
    text for users other than root, if ``what`` may quote a document, a program or its journal; "" if it is the same.
    """

    code: str
    what: str
    hint: str = ""
    item: str = ""
    fault: bool = False
    enforced: bool = False
    public: str = ""

    @classmethod
    def of(cls, problem: Problem, code: str = "", *, fault: bool = False) -> Self:
        """Return a condition for a problem, with ``code`` instead of the problem's own code if it is given."""
        place = f"{problem.where}: " if problem.where.path else ""
        pointer = f"{problem.where.pointer}: " if problem.where.pointer else ""
        what = f"{place}{pointer}{problem.what}"
        public = f"{place}{pointer}".removesuffix(": ") or "a problem in the documents"
        return cls(
            code=code or problem.code, what=what, hint=problem.hint, item=problem.item, fault=fault, public=public
        )
