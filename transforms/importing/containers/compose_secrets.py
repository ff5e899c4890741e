"""Secrets and configs of a compose file that are files: docker mounts them, as Compose does outside of a swarm.

    secrets: [db], secrets: {db: {file: ./db.txt}} ──mount_option──▶ --volume=/srv/db.txt:/run/secrets/db:ro

Source: the Compose Specification, 08-configs.md and 09-secrets.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ordain.transforms.document.text.node import Node
from ordain.transforms.importing.draft.yaml_values import UnusableValue, set_items

FOLDERS = {"secrets": "/run/secrets/", "configs": "/"}
"""The directory in a container of the files of each section whose target is not absolute."""
_KEPT = frozenset({"source", "target"})


def mount_option(
    section: str,
    item: Node,
    file_of: Callable[[str, str], Node | None],
    word: Callable[[Node], str],
    absolute: Callable[[str, Node], str],
    not_converted: Callable[[Node, str, str], None],
) -> str:
    """Return the option of ``docker run`` for one entry of ``secrets`` or ``configs`` of a service.

    ``file_of`` returns the path of one of them, as the top of the file has it. Raises `UnusableValue` for another kind.
    """
    keys = set_items(item) if isinstance(item.value, Mapping) else {"source": item}
    if "source" not in keys:
        raise UnusableValue(item, "an entry has no source", "add it")
    name = word(keys["source"])
    for key in sorted(keys.keys() - _KEPT):
        hint = "the container sees the mode and the owner of the file: set them there"
        not_converted(keys[key], f"{section}: {key} of {name}", hint)
    written = file_of(section, name)
    if written is None:
        what = f"{name} is not a file at the top of the compose file"
        hint = f"write it to a file, and add `--volume=FILE:{FOLDERS[section]}{name}:ro` to `command`"
        raise UnusableValue(item, what, hint)
    target = word(keys["target"]) if "target" in keys else name
    target = target if target.startswith("/") else f"{FOLDERS[section]}{target}"
    file = absolute(word(written), written)
    if ":" in file + target:
        raise UnusableValue(item, f"docker takes no colon in the path {file} or {target}", "rename it")
    return f"--volume={file}:{target}:ro"
