"""The entries of ``files``, of the documents and of their services, as artifacts.

A generation holds only the name of a ``credential``, never the secret: other users may read a generation.
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
from ordain.transforms.errors import Problem, blocked, is_blocked, warning
from ordain.transforms.forbidden_paths import is_link_everywhere, through_link, why_forbidden
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Branch, Leaf, Template, Tree
from ordain.transforms.render.rendered_item import RenderedItem
from ordain.transforms.systemd.checks.doubtful_values import of_mode

MAX_LENGTH = 1 << 20
"""The longest content of a file, in characters: every boot reads the whole generation."""
_SESSION = lazy_pattern(r"(?:/var)?/run/user/[0-9]+(?=/|$)")
"""The directory of the sessions of a user (user-runtime-dir@.service(5))."""
KINDS = ("content", "template", "credential", "link", "directory")


def templated(branch: Branch) -> Branch:
    """Return the entry of one file with the text of its ``template`` as a template."""
    leaf = branch.leaf("template")
    if leaf is None or not isinstance(leaf.value, str):
        return branch
    return replace(branch, children={**branch.children, "template": replace(leaf, value=Template(leaf.value))})


def templated_within(branch: Branch) -> Branch:
    """Return the entry of one service with the templates of its files, and of those of its instances, as templates."""
    children: dict[str, Tree] = dict(branch.children)
    if "files" in children:
        files = branch.branch("files")
        children["files"] = replace(files, children={name: _templated_child(name, files) for name in files})
    if "instances" in children:
        instances = branch.branch("instances")
        entries = {name: templated_within(instances.branch(name)) for name in instances}
        children["instances"] = replace(instances, children=entries)
    return replace(branch, children=children) if children != branch.children else branch


def _templated_child(name: str, files: Branch) -> Tree:
    child = files.children[name]
    return templated(child) if isinstance(child, Branch) else child


def render(path: str, branch: Branch, pointer: str, names: Names, mounts: Mapping[str, bool]) -> RenderedItem:
    """Return the item of one file; ``mounts`` are the mount points of the documents, with True for remote ones."""
    renderer = _FileRenderer(path, branch, pointer, names, mounts)
    artifacts = tuple(renderer.artifacts())
    problems = tuple(renderer.problems)
    return RenderedItem(pointer=pointer, artifacts=() if is_blocked(problems) else artifacts, problems=problems)


class _FileRenderer:
    def __init__(self, path: str, branch: Branch, pointer: str, names: Names, mounts: Mapping[str, bool]) -> None:
        self.path, self.branch, self.pointer, self.names, self.mounts = path, branch, pointer, names, mounts
        self.place = branch.here
        self.problems: list[Problem] = []

    def artifacts(self) -> Iterator[PlacedFile]:
        reason, hint = why_forbidden(self.path)
        if reason:
            self.block(self.place, reason, hint, "Vital")
            return
        self.check_links()
        if session := _SESSION.match(self.path):
            what = f"systemd mounts {session[0]} when that user logs in, which hides the file"
            hint = "place it elsewhere in /run; user-tmpfiles.d makes files of a session (tmpfiles.d(5))"
            self.problems.append(warning(self.pointer, self.place.where, what, hint, "Doubtful"))
        if self.path.endswith("/") and self.branch.value("directory") is not True:
            self.block(self.place, f"{self.path} is the name of a directory", "set `directory: true`")
        absent = self.branch.value("state") == "absent"
        if not absent and not any(kind in self.branch for kind in KINDS):
            self.block(self.place, "the file has no content", f"set one of {', '.join(KINDS)}")
            return
        owner, group = self.account("owner"), self.account("group")
        file: PlacedFile
        if absent:
            file = AbsentFile(path=self.path.rstrip("/"), item=self.pointer)
        else:
            file = replace(self.present(), owner=owner, group=group)
        mount = self.mount()
        yield replace(
            file,
            on_remove=OnFileRemove(str(self.branch.value("on-remove", "restore"))),
            mount=mount,
            remote=self.mounts.get(mount, False),
        )

    def check_links(self) -> None:
        """Report a path through a link, at which no file is placed (`generator.safe_tree`)."""
        link, hint = through_link(self.path)
        if link and is_link_everywhere(self.path):
            self.block(self.place, f"no file is placed at {self.path}, because {link}", hint)
        elif link:
            what = f"no file is placed at {self.path} where {link}, as on most systems"
            self.problems.append(warning(self.pointer, self.place.where, what, hint, "Doubtful"))

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

    def mode(self, default: int) -> int:
        leaf = self.branch.leaf("mode")
        if leaf is None:
            return default
        what, hint = of_mode(str(leaf.value))
        if what:
            self.problems.append(warning(self.pointer, leaf.where, what, hint, "Doubtful"))
        return int(str(leaf.value), 8)

    def account(self, key: str) -> str:
        leaf = self.branch.leaf(key)
        if leaf is None:
            return ""
        name = self.names.user(self.text(leaf))
        if not name or any(c in name for c in ":/\n "):
            self.block(leaf, f"{name!r} is not the name of a user or group", "write a name as in /etc/passwd")
        elif name.isdecimal() and name != (plain := name.lstrip("0") or "0"):
            self.block(leaf, f"{name!r} is not a number of an account", f"write {plain} without the 0 before it")
        return name

    def text(self, leaf: Leaf) -> str:
        text = str(leaf.value)
        if "\0" in text:  # where a template asked for the instance, or for a credential
            what = "a file is the same for all instances, and remains when the credentials of a service are gone"
            hint = "remove `instance` and credential(); `credential: NAME` makes a file of a secret"
            self.block(leaf, what, hint)
        if len(text) > MAX_LENGTH:
            self.block(leaf, f"the content has more than {MAX_LENGTH} characters", "install the file with a package")
        if "PRIVATE KEY-----" in text:
            what = "the content is a private key, and every generation would hold it"
            self.block(leaf, what, "use `credential`", "Secret")
        return text

    def credential(self, branch: Branch) -> str:
        """Return the name of the credential, or ``KIND:VALUE`` for other sources; no name has a colon."""
        for kind in ("file", "encrypted", "ciphertext"):
            if leaf := branch.leaf(kind):
                text = "".join(str(leaf.value).split()) if kind == "ciphertext" else self.text(leaf)
                return f"{kind}:{text}"
        leaf = branch.leaf("name") or branch.here
        name = self.text(leaf)
        if not name or "/" in name or ":" in name or name.startswith(".") or len(name) > 255:
            self.block(leaf, f"{name!r} is not the name of a credential", "write a file name")
        return name

    def mount(self) -> str:
        return max((m for m in self.mounts if self.path.startswith(f"{m.rstrip('/')}/")), key=len, default="")

    def block(self, leaf: Leaf, what: str, hint: str, code: str = "Item") -> None:
        self.problems.append(blocked(self.pointer, leaf.where, what, hint, code))
