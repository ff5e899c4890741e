"""``files``, of the documents and of their services → artifacts; pure.

Who may not be told a secret sees no generation either, so of a ``credential`` only the name is in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ordain.transforms.artifacts import (
    AbsentFile,
    CredentialFile,
    OnFileRemove,
    PlacedDirectory,
    PlacedFile,
    RegularFile,
    SymbolicLink,
)
from ordain.transforms.catalog.names import Names
from ordain.transforms.errors import Problem, Severity
from ordain.transforms.forbidden_paths import why_not
from ordain.transforms.model import Branch, Leaf, Template, Tree
from ordain.transforms.render.rendered_item import RenderedItem

SIZE_MAX = 1 << 20
"""Characters in one file: a generation is read at every boot."""
KINDS = ("content", "template", "credential", "link", "directory")


def templated(branch: Branch) -> Branch:
    """``branch``, of one file, with what its ``template`` holds as a template."""
    leaf = branch.leaf("template")
    if leaf is None or not isinstance(leaf.value, str):
        return branch
    return replace(branch, children={**branch.children, "template": replace(leaf, value=Template(leaf.value))})


def templated_within(branch: Branch) -> Branch:
    """``branch``, of a service, with the templates of its files as templates."""
    children: dict[str, Tree] = dict(branch.children)
    if "files" in children:
        files = branch.branch("files")
        children["files"] = replace(files, children={n: _each(n, files) for n in files})
    if "instances" in children:
        instances = branch.branch("instances")
        entries = {n: templated_within(instances.branch(n)) for n in instances}
        children["instances"] = replace(instances, children=entries)
    return replace(branch, children=children) if children != branch.children else branch


def _each(name: str, files: Branch) -> Tree:
    child = files.children[name]
    return templated(child) if isinstance(child, Branch) else child


def render(path: str, branch: Branch, pointer: str, names: Names, mounts: Mapping[str, bool]) -> RenderedItem:
    """The item of one file; ``mounts`` are the mount points of the documents, and whether they need the network."""
    made = _File(path, branch, pointer, names, mounts)
    artifacts = tuple(made.artifacts())
    return RenderedItem(pointer=pointer, artifacts=() if made.blocked else artifacts, problems=tuple(made.problems))


class _File:
    def __init__(self, path: str, branch: Branch, pointer: str, names: Names, mounts: Mapping[str, bool]) -> None:
        self.path, self.branch, self.pointer, self.names, self.mounts = path, branch, pointer, names, mounts
        self.here = branch.here
        self.problems: list[Problem] = []

    @property
    def blocked(self) -> bool:
        return any(problem.severity is Severity.BLOCKED for problem in self.problems)

    def artifacts(self) -> Iterator[PlacedFile]:
        what, hint = why_not(self.path)
        if what:
            self.block(self.here, what, hint, "Vital")
            return
        if self.path.endswith("/") and self.branch.value("directory") is not True:
            self.block(self.here, f"{self.path} is a directory's name", "directory: true", "Item")
        kinds = [kind for kind in KINDS if kind in self.branch]
        absent = self.branch.value("state") == "absent"
        if not kinds and not absent:
            self.block(self.here, "it has neither content nor another kind", f"one of {', '.join(KINDS)}", "Item")
            return
        owner, group = self.account("owner"), self.account("group")
        file: PlacedFile
        if absent:
            file = AbsentFile(path=self.path.rstrip("/"), item=self.pointer)
        else:
            file = replace(self.present(), owner=owner, group=group)
        yield replace(
            file,
            on_remove=OnFileRemove(str(self.branch.value("on-remove", "restore"))),
            mount=self.mount(),
            remote=self.mounts.get(self.mount(), False),
        )

    def present(self) -> PlacedFile:
        path, item = self.path.rstrip("/"), self.pointer
        text, link = self.branch.leaf("content") or self.branch.leaf("template"), self.branch.leaf("link")
        if text is not None:
            return RegularFile(path=path, item=item, content=self.text(text), mode=self.mode(0o644))
        if link is not None:
            return SymbolicLink(path=path, item=item, target=self.text(link))
        if credential := self.branch.branch("credential"):
            return CredentialFile(path=path, item=item, credential=self.credential(credential), mode=self.mode(0o600))
        return PlacedDirectory(path=path, item=item, mode=self.mode(0o755))

    def mode(self, usual: int) -> int:
        leaf = self.branch.leaf("mode")
        return usual if leaf is None else int(str(leaf.value), 8)

    def account(self, key: str) -> str:
        leaf = self.branch.leaf(key)
        if leaf is None:
            return ""
        name = self.names.user(self.text(leaf))
        if not name or any(c in name for c in ":/\n "):
            self.block(leaf, f"{name!r} is no name of a user or group", "", "Item")
        return name

    def text(self, leaf: Leaf) -> str:
        text = str(leaf.value)
        if "\0" in text:
            what = "a file is one for all instances, and outlives the credentials of a service"
            self.block(
                leaf, what, "no instance and no credential() here; `credential: NAME` is a file of its own", "Item"
            )
        if len(text) > SIZE_MAX:
            self.block(leaf, f"more than {SIZE_MAX >> 20} MiB in one file", "install it as a package", "Item")
        if "PRIVATE KEY-----" in text:
            self.block(leaf, "a private key, and every generation would hold it", "use `credential`", "Secret")
        return text

    def credential(self, branch: Branch) -> str:
        """Where the secret comes from: a name, or ``KIND:`` and what is said of it; no name holds a colon."""
        for kind in ("file", "encrypted", "ciphertext"):
            if leaf := branch.leaf(kind):
                text = "".join(str(leaf.value).split()) if kind == "ciphertext" else self.text(leaf)
                return f"{kind}:{text}"
        leaf = branch.leaf("name") or branch.here
        name = self.text(leaf)
        if not name or "/" in name or ":" in name or name.startswith(".") or len(name) > 255:
            self.block(leaf, f"{name!r} is no name of a credential", "a file name", "Item")
        return name

    def mount(self) -> str:
        found = max((m for m in self.mounts if self.path.startswith(f"{m.rstrip('/')}/")), key=len, default="")
        return found

    def block(self, leaf: Leaf, what: str, hint: str, code: str) -> None:
        self.problems.append(
            Problem(where=leaf.where, what=what, hint=hint, code=code, severity=Severity.BLOCKED, item=self.pointer)
        )
