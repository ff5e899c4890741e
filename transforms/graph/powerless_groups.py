"""Users in the group of administrators of a system whose sudo gives the members of this group no rights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ordain.transforms.artifacts import Artifact, RegularFile
from ordain.transforms.catalog.names import Names
from ordain.transforms.errors import Problem, warning
from ordain.transforms.model import Branch

SUDOERS = "/etc/sudoers"


def powerless_groups(users: Branch, artifacts: Iterable[Artifact], names: Names) -> Iterator[Problem]:
    """Warn of each user in such a group, unless a file of sudo that the documents place is about the group."""
    rules = [a.content for a in artifacts if isinstance(a, RegularFile) and a.path.startswith(SUDOERS)]
    for name, user in users.branches():
        for neutral, leaf in user.branch("groups").leaves():
            group = names.user(neutral)
            if names.account(neutral).value("sudo") is False and not any(f"%{group}" in rule for rule in rules):
                what = f"the members of {group} have no rights here: sudo of this system has no rule for them"
                hint = f"add one: `settings: {{sudo-rules: {{administrators: {{users: ['%{group}']}}}}}}`"
                yield warning(f"users/{name}", leaf.where, what, hint, "Doubtful")
