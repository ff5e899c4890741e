"""Keys of other systems, with the words for them here: for the hint about an unknown key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ordain.transforms.lazy_patterns import lazy_pattern

_WORDS = {
    "state": "enable enabled ensure autostart active started masked running",
    "command": "exec cmd run execstart exec-start entrypoint program script start",
    "after": "ordering",
    "before": "ordering-before",
    "requires": "depends depends-on depends_on dependencies bindsto binds-to",
    "environment": "env environ vars variables",
    "environment-files": "env-file env_file envfile",
    "listen": "port ports socket sockets listen-stream",
    "schedule": "cron timer calendar crontab every",
    "restart-delay": "restart-sec restart_sec",
    "working-directory": "workdir cwd working_dir chdir working-dir",
    "supplementary-groups": "groups extra-groups",
    "limits": "resources quota memory cpu memory-max tasks limit",
    "sandbox": "security hardening confinement",
    "directories": "state-directory runtime-directory",
    "systemd": "raw extra options",
    "reload": "exec-reload reload-command reload-signal",
    "stop": "exec-stop stop-command",
    "before-start": "pre-start start-pre prestart start_pre",
    "after-start": "post-start start-post poststart start_post",
    "open-files": "nofile nofiles files fds ulimit",
    "processes": "nproc",
    "memory-locked": "memlock",
    "user": "runas run-as username",
    "content": "contents text body data inline",
    "mode": "permissions perms permission chmod",
    "owner": "uid user-owner",
    "template": "jinja jinja2 tmpl",
    "link": "symlink target",
    "hostname": "host-name host_name name",
    "timezone": "tz time-zone time_zone",
    "time-servers": "ntp ntp-servers timeservers",
    "keys": "ssh-keys ssh_authorized_keys authorized-keys authorized_keys sshkeys",
    "what": "device source src",
    "type": "fstype fs filesystem",
    "match": "selector when target hosts",
    "services": "service",
    "files": "write_files file configs",
    "mounts": "fs mount volumes fstab",
}
_DIRECTIVE = lazy_pattern(r"\b([A-Z][A-Za-z]+)=")
_HERE = {other: word for word, others in _WORDS.items() for other in others.split()}
_ADVICE = {
    "image": "Ordain runs no images itself; `ordainctl import` makes commands of podman of compose files and quadlets",
    "volumes": "`ordainctl import` converts compose files and quadlets; `mounts` and `directories` are for services",
    "packages": "packages are a section of their own beside `services`: `packages: [NAME]`",
    "package": "packages are a section of their own beside `services`: `packages: [NAME]`",
    "secrets": "see `credentials` of a service",
    "runcmd": "write a service with `type: oneshot`; `ordainctl import` converts cloud-config",
    "include": "all documents of the source are read, and layers are merged",
    "roles": "layers are merged: give the common part a document of its own, with `match`",
}


def hint(key: str, known: Mapping[str, Any]) -> str:
    """Return a hint about an unknown ``key`` from another system, "" if there is none.

    ``known`` are the JSON Schemas of the keys here. Their descriptions name the directives of systemd that they become.
    """
    word = _HERE.get(key.lower(), "")
    if word in known:
        return f"write {word}"
    wanted = _plain(key)
    for directive, here in _directives(known):
        if _plain(directive) == wanted:
            return f"write {here}"
    return _ADVICE.get(key.lower(), "")


def _directives(known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the directives of systemd that the descriptions name, each with the key, or the keys, to write."""
    for key, schema in known.items():
        for directive in _DIRECTIVE.findall(schema.get("description", "")):
            yield directive, key
        for below, inner in schema.get("properties", {}).items():
            for directive in _DIRECTIVE.findall(inner.get("description", "")):
                yield directive, f"{key}: {{{below}: …}}"


def _plain(word: str) -> str:
    return re.sub("[-_]", "", word).lower()
