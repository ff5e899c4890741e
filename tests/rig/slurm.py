"""Slurm on one machine: Debian's controller, daemon and munge on the loopback device."""

from __future__ import annotations

from rig.machine import Machine

PACKAGES = ("slurm-wlm", "munge")
USER = "alice"
"""A user without rights, who submits the jobs."""
CONFIGURATION = """\
ClusterName=test
SlurmctldHost=machine(127.0.0.1)
SlurmUser=slurm
AuthType=auth/munge
StateSaveLocation=/var/lib/slurm/slurmctld
SlurmdSpoolDir=/var/lib/slurm/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
SchedulerParameters=sched_interval=1,batch_sched_delay=0,defer_batch
SlurmdParameters=config_overrides
MinJobAge=3600
KillWait=2
ReturnToService=2
NodeName=machine NodeAddr=127.0.0.1 CPUs=4 RealMemory=1000 State=UNKNOWN
PartitionName=debug Nodes=machine Default=YES MaxTime=60 State=UP
PartitionName=normal Nodes=machine MaxTime=600 State=UP
"""


def boot_with_slurm(machine: Machine) -> None:
    """Boot a machine that has `PACKAGES`, start Slurm, and wait until its node is idle."""
    # Slurm's units want network-online.target, which a machine without a network waits for until a timeout.
    for unit in ("network-online.target", "systemd-networkd-wait-online.service"):
        machine.path(f"/etc/systemd/system/{unit}").symlink_to("/dev/null")
    for link in machine.path("/etc/systemd/system/multi-user.target.wants").glob("slurm*"):
        link.unlink()
    machine.boot()
    machine.write("/etc/hosts", "127.0.0.1 localhost machine\n")
    machine.write("/etc/slurm/slurm.conf", CONFIGURATION)
    if "slurm-wlm 22" not in machine.run("slurmd", "-V").stdout:  # which knows only plugins that use cgroups
        machine.write("/etc/slurm/cgroup.conf", "CgroupPlugin=disabled\n")
    # Slurm resolves its own address only if there is one that is not the loopback's.
    machine.run("ip", "address", "add", "192.0.2.10/32", "dev", "lo")
    for directory in ("slurmctld", "slurmd"):
        machine.run("install", "-d", "-o", "slurm", f"/var/lib/slurm/{directory}")
    machine.run("install", "-d", "-o", "slurm", "/var/log/slurm")
    machine.run("useradd", "--create-home", "--shell", "/bin/bash", USER)
    machine.run("systemctl", "restart", "munge", "slurmctld", "slurmd")
    machine.until("the node is idle", lambda: "idle" in machine.run("sinfo", "-h", check=False).stdout, timeout=60)


def as_user(machine: Machine, *argv: str, check: bool = True, timeout: float = 60) -> str:
    """Run a command as `USER` in the home directory, and return its output; with its exit status if it failed."""
    words = [
        "runuser",
        "-u",
        USER,
        "--",
        "env",
        f"HOME=/home/{USER}",
        "sh",
        "-c",
        f'cd /home/{USER} && exec "$@"',
        "sh",
    ]
    done = machine.run(*words, *argv, check=check, timeout=timeout)
    return done.stdout if check else f"{done.stdout}{done.stderr}[exit status {done.returncode}]"
