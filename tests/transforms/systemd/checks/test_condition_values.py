"""Conditions that never hold are warned of; `systemd-analyze condition` is the oracle."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from ordain.transforms.systemd.checks.condition_values import of_condition

ANALYZE = shutil.which("systemd-analyze")
UNREADABLE = (
    "Memory=lots", "Memory=4GB", "Memory=1e3", "Memory=50%", "Memory==>4", "Memory=-1G", "CPUs=many", "CPUs=1.5",
    "CPUs=-1", "FirstBoot=maybe", "ACPower=battery", "KernelVersion=>=", "Capability=CAP_FOO", "Capability=net_admin",
    "Capability=CAP_NET_ADMIN CAP_SYS_ADMIN", "Capability=99", "OSRelease=debian", "OSRelease=ID", "MemoryPressure=10",
    "MemoryPressure=10%/2min", "CPUPressure=high",
)  # fmt: skip
"""Conditions that PID 1 cannot read when it starts the unit: they never hold, also with a ! in front."""
NEVER = (
    "KernelVersion=6.1.x", "KernelVersion=6.1", "KernelVersion==>5", "KernelVersion==6.*", "KernelVersion=~6",
    "KernelVersion===5", "KernelVersion=Linux", "Security=selinuxx", "Security=SELinux", "Security=tpm", "Host=a b",
    "Host=web1,web2", "Environment=$X", "Environment=A B", "User=nosuch", "User=daemon", "Group=wheel", "Group=@system",
    "Credential=a/b", "Firmware=bios", "Firmware=efi", "Architecture=amd64", "Virtualization=vmware-esx",
    "OSRelease=id=debian",
)  # fmt: skip
"""Conditions that PID 1 reads, and that hold on no machine."""
OTHERWISE = ("KernelVersion=>=5,<7", "KernelVersion=!=5", "NeedsUpdate=/usr", "ControlGroupController=foo", "Memory=4")
"""Conditions that hold, although the author means something else."""
GOOD = (
    "Memory=>=1G", "Memory=>= 1 G", "Memory=!=4M", "Memory=1073741824", "CPUs=>=1", "CPUs=> 1", "CPUs=2",
    "FirstBoot=Yes", "ACPower=on", "KernelVersion=>=5", "KernelVersion=>= 5", "KernelVersion=>=5 <7",
    "KernelVersion=6.*", "KernelVersion=*", "KernelVersion=$=6.*", "KernelVersion=!=6.1.0-1",
    "KernelVersion=6.1.0-18-amd64", "KernelVersion=[56].*", "Capability=cap_net_admin", "Capability=12",
    "Security=selinux", "Security=uefi-secureboot", "Host=web1", "Host=web*.example.org",
    "Host=0123456789abcdef0123456789abcdef", "Environment=PATH", "Environment=A=b c", "User=root", "User=0",
    "User=@system", "Group=root", "Credential=my.key", "NeedsUpdate=/var/", "OSRelease=ID=debian",
    "OSRelease=ID=debian VERSION_ID>=12", "OSRelease=ID==debian", "Firmware=uefi",
    "Firmware=device-tree-compatible(a)", "Firmware=smbios-field(bios_vendor=x)", "MemoryPressure=10%",
    "MemoryPressure=10%/5min", "Architecture=x86-64", "Architecture=native", "Virtualization=vm",
    "Virtualization=No", "ControlGroupController=cpu memory", "CPUFeature=sse2", "KernelCommandLine=quiet",
    "PathExists=/etc", "OSRelease=VERSION=\"12 (bookworm)\"", "Host=%H", "Memory=|!>=4G",
)  # fmt: skip


def doubt(condition: str) -> str:
    name, _, value = condition.partition("=")
    return of_condition(f"Condition{name}", value)[0]


@pytest.mark.parametrize("condition", [*UNREADABLE, *NEVER, *OTHERWISE])
@pytest.mark.parametrize("kind", ["Condition", "Assert"])
def test_a_condition_that_means_something_else_is_doubtful(condition: str, kind: str) -> None:
    name, _, value = condition.partition("=")
    what, hint = of_condition(f"{kind}{name}", value)

    assert what
    assert hint


@pytest.mark.parametrize("condition", UNREADABLE)
def test_a_condition_that_nobody_can_read_is_doubtful_also_if_it_is_negated(condition: str) -> None:
    name, _, value = condition.partition("=")

    assert f"Condition{name}= never holds" in of_condition(f"Condition{name}", f"|!{value}")[0]


def test_a_negated_condition_that_would_never_hold_always_holds() -> None:
    assert "ConditionUser=eve always holds" in of_condition("ConditionUser", "!eve")[0]
    assert "ConditionKernelVersion= always holds" in of_condition("ConditionKernelVersion", "!=5")[0]


@pytest.mark.parametrize("condition", GOOD)
def test_a_condition_that_can_hold_is_not(condition: str) -> None:
    assert doubt(condition) == ""


@pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze here to ask")
@pytest.mark.parametrize("condition", [*UNREADABLE, *NEVER, *GOOD])
@pytest.mark.thorough
def test_systemd_says_the_same(condition: str) -> None:
    done = subprocess.run(
        [str(ANALYZE), "condition", f"Condition{condition}"], capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    if "Cannot parse" in said:
        pytest.skip("this systemd does not know the condition")
    if "No such file or directory" in said or "Operation not supported" in said:
        pytest.skip("this machine has no such interface of the kernel")

    if condition in UNREADABLE:
        assert "Couldn't determine result" in said
    elif condition in NEVER:
        assert " failed" in said
    else:
        assert "Couldn't determine result" not in said
