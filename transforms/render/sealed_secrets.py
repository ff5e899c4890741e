"""Sealed secrets: services and files that name one get its path, and the generation carries those that are used.

secrets/NAME ──with_secret_paths──▶ `credentials/*/file`, `files/*/credential/file`: the path of the opened secret
             ──render_secrets────▶ a `CredentialFile` with ``sealed:TEXT``, and the unit that opens it
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from ordain.transforms.artifacts import SEALED, SECRETS_ITEM, Artifact, CredentialFile, used_secrets
from ordain.transforms.document.text.node import pointer_below
from ordain.transforms.errors import Problem, blocked, did_you_mean
from ordain.transforms.forbidden_paths import SECRETS
from ordain.transforms.model import Branch, Leaf, Tree, strings
from ordain.transforms.render.rendered_item import RenderedItem
from ordain.transforms.render.unit_links import wants
from ordain.transforms.sealed_secret import MAX_RECIPIENTS, SealedSecret

UNIT = "ordain-secrets.service"
SECRET_KEY = "secret"


def read_secrets(tree: Branch) -> tuple[Mapping[str, SealedSecret], tuple[Problem, ...]]:
    """Return the secrets of the resolved documents by name, and a problem for each that is incomplete."""
    secrets: dict[str, SealedSecret] = {}
    problems: list[Problem] = []
    for name, branch in tree.branch(SECRETS_ITEM).branches():
        value, copies = branch.leaf("value"), branch.leaf("keys")
        pointer = pointer_below(SECRETS_ITEM, name)
        if value is None or copies is None:
            missing = "value" if value is None else "keys"
            hint = "use the whole output of `ordainctl secret seal`"
            problems.append(blocked(pointer, branch.where, f"the secret has no `{missing}`", hint, "SecretIncomplete"))
            continue
        words = strings(copies.value)
        if len(words) > MAX_RECIPIENTS:
            what = f"the secret is sealed for {len(words):,} keys, and at most {MAX_RECIPIENTS:,} are possible"
            problems.append(blocked(pointer, copies.where, what, "seal it for fewer machines", "SecretIncomplete"))
            continue
        pairs = dict(word.partition(":")[::2] for word in words)
        secrets[name] = SealedSecret(name=name, value=str(value.value), copies=pairs)
    return secrets, tuple(problems)


class SecretPaths:
    """Puts paths into the entries that name a secret; ``problems`` are those of names that do not exist."""

    def __init__(self, tree: Branch, secrets: Mapping[str, SealedSecret]) -> None:
        self.problems: list[Problem] = []
        self._secrets = secrets
        self._known = frozenset(tree.branch(SECRETS_ITEM).children)
        self.tree = self._of_tree(tree)

    def _of_tree(self, tree: Branch) -> Branch:
        services = _changed(tree.branch("services"), lambda name, b: self._of_service(b, f"services/{name}"))
        files = _changed(tree.branch("files"), lambda path, b: self._of_file(b, pointer_below("files", path)))
        changed = {"services": services, "files": files}
        children = {name: changed.get(name, child) for name, child in tree.children.items()}
        return replace(tree, children=children)

    def _of_service(self, service: Branch, item: str) -> Branch:
        children: dict[str, Tree] = dict(service.children)
        if "credentials" in children:
            children["credentials"] = _changed(service.branch("credentials"), lambda _, b: self._path(b, item))
        if "files" in children:
            children["files"] = _changed(service.branch("files"), lambda _, b: self._of_file(b, item))
        if "instances" in children:
            children["instances"] = _changed(service.branch("instances"), lambda _, b: self._of_service(b, item))
        return replace(service, children=children) if _differ(children, service) else service

    def _of_file(self, file: Branch, item: str) -> Branch:
        if not isinstance(file.children.get("credential"), Branch):
            return file
        credential = file.branch("credential")
        new = self._path(credential, item)
        return file if new is credential else replace(file, children={**file.children, "credential": new})

    def _path(self, entry: Branch, item: str) -> Branch:
        leaf = entry.leaf(SECRET_KEY)
        if leaf is None:
            return entry
        name = str(leaf.value)
        secret = self._secrets.get(name)
        if secret is None:
            what = f"the secret {name} cannot be used, see `secrets`" if name in self._known else ""
            hint = did_you_mean(name, self._known) or "`ordainctl secret seal` makes one"
            self.problems.append(blocked(item, leaf.where, what or f"there is no secret {name}", hint, "SecretUnknown"))
        path = secret.path if secret else f"{SECRETS}{name}"
        others = {key: child for key, child in entry.children.items() if key != SECRET_KEY}
        return replace(entry, children={**others, "file": Leaf(value=path, where=leaf.where, layer=leaf.layer)})


def _changed(branch: Branch, change: Callable[[str, Branch], Branch]) -> Branch:
    """Return ``branch`` with each map below changed by ``change``; the same value if nothing changes."""
    children = {n: change(n, child) if isinstance(child, Branch) else child for n, child in branch.children.items()}
    return replace(branch, children=children) if _differ(children, branch) else branch


def _differ(children: Mapping[str, Tree], branch: Branch) -> bool:
    return any(child is not branch.children.get(name) for name, child in children.items())


def render_secrets(secrets: Mapping[str, SealedSecret], artifacts: Iterable[Artifact]) -> Iterator[RenderedItem]:
    """Yield the item of each secret that ``artifacts`` use: they are opened on no other machine."""
    used = used_secrets(artifacts) & {secret.path for secret in secrets.values()}
    if used:
        yield RenderedItem(pointer=SECRETS_ITEM, artifacts=(wants("sysinit.target", UNIT, SECRETS_ITEM),))
    for name, secret in sorted(secrets.items()):
        if secret.path in used:
            item = pointer_below(SECRETS_ITEM, name)
            file = CredentialFile(path=secret.path, item=item, credential=f"{SEALED}{secret.text}", mode=0o600)
            yield RenderedItem(pointer=item, artifacts=(file,))
