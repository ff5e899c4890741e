"""SysV scripts below the root of a machine or of a test."""

from __future__ import annotations

from pathlib import Path

from rig.machine import Machine

SCRIPT = "#!/bin/sh\ntouch /var/lib/$(basename $0)-$1\n"
HEADER = """\
#!/bin/sh
### BEGIN INIT INFO
# Provides:          legacyd
# Required-Start:    $remote_fs $network
# Required-Stop:     $remote_fs
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: A legacy thing
### END INIT INFO
touch /var/lib/legacy-$1
"""
UNIT = """\
[Service]
Type=forking
RemainAfterExit=yes
ExecStart=/etc/init.d/legacy start
ExecStop=/etc/init.d/legacy stop
"""


def write_script(root: Path, name: str, *, runlevels: str, header: str = HEADER) -> Path:
    """Write a script that creates a file when it runs, and have ``runlevels`` start it, as update-rc.d(8) does."""
    path = root / "etc/init.d" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header)
    path.chmod(0o755)
    for level in runlevels:
        folder = root / f"etc/rc{level}.d"
        folder.mkdir(exist_ok=True)
        (folder / f"S01{name}").symlink_to(f"../init.d/{name}")
    return path


def add_legacy_service(machine: Machine) -> None:
    """Add a script that boots start. From 260 on, systemd makes no units for scripts; there, write the unit as well."""
    write_script(machine.path("/"), "legacy", runlevels="2345")
    if machine.path("/usr/lib/systemd/system-generators/systemd-sysv-generator").exists():
        return
    machine.write("/usr/lib/systemd/system/legacy.service", UNIT)
    link = machine.path("/etc/systemd/system/multi-user.target.wants/legacy.service")
    link.symlink_to("/usr/lib/systemd/system/legacy.service")
