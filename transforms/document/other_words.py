"""Keys of other systems, with the words for them here: for the hint about an unknown key."""

from __future__ import annotations

from collections.abc import Collection

_WORDS = {
    "state": "enable enabled ensure autostart active started masked running",
    "command": "exec cmd run execstart exec-start entrypoint program script start",
    "after": "ordering",
    "before": "ordering-before",
    "requires": "depends depends-on depends_on dependencies bindsto binds-to",
    "environment": "env environ vars variables",
    "environment-files": "env-file env_file envfile",
    "listen": "port ports socket sockets listenstream listen-stream",
    "schedule": "cron timer oncalendar calendar crontab every",
    "restart-delay": "restart-sec restartsec restart_sec",
    "working-directory": "workdir cwd working_dir chdir working-dir",
    "supplementary-groups": "groups extra-groups",
    "limits": "resources quota memory cpu memorymax memory-max tasks limit",
    "sandbox": "security hardening confinement",
    "directories": "state-directory statedirectory runtime-directory runtimedirectory",
    "systemd": "raw extra options",
    "reload": "execreload exec-reload",
    "stop": "execstop exec-stop",
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
_HERE = {other: word for word, others in _WORDS.items() for other in others.split()}
_ADVICE = {
    "image": "Ordain runs no images itself; `ordainctl import` makes commands of podman of compose files and quadlets",
    "volumes": "`ordainctl import` converts compose files and quadlets; `mounts` and `directories` are for services",
    "packages": "Ordain installs no packages: install them with the system's package manager, or in the image",
    "package": "Ordain installs no packages: install them with the system's package manager, or in the image",
    "secrets": "see `credentials` of a service",
    "runcmd": "write a service with `type: oneshot`; `ordainctl import` converts cloud-config",
    "include": "all documents of the source are read, and layers are merged",
    "roles": "layers are merged: give the common part a document of its own, with `match`",
}


def hint(key: str, known: Collection[str]) -> str:
    """Return a hint about an unknown ``key`` from another system, "" if there is none; ``known`` are the keys here."""
    word = _HERE.get(key.lower(), "")
    if word in known:
        return f"write {word}"
    return _ADVICE.get(key.lower(), "")
