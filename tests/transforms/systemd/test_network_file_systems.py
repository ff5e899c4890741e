"""Mounts that need the network are a part of remote-fs.target, and PID 1 learns that they are."""

from __future__ import annotations

import pytest

from ordain.transforms.artifacts import UnitFile
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.model import Compiled


def compiled(text: str, system: str = "debian-13") -> Compiled:
    documents, problems = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\n{text}\n".encode())
    assert problems == ()
    return compile(documents, facts_for(system), shipped=shipped())


def rendered(text: str, unit: str, system: str = "debian-13") -> tuple[str, bool]:
    """Return the target of a mount, and whether its unit file has the option _netdev."""
    result = compiled(text, system)
    assert [problem.what for problem in result.problems] == []
    (target,) = [
        a.path.split("/")[1].removesuffix(".wants") for a in result.artifacts if a.path.endswith(f".wants/{unit}")
    ]
    (file,) = [a for a in result.artifacts if isinstance(a, UnitFile) and a.path == f"normal/{unit}"]
    options = [line for line in file.content.splitlines() if line.startswith("Options=")]
    return target, any("_netdev" in line for line in options)


@pytest.mark.parametrize(
    ("entry", "netdev"),
    [
        *(("{what: 'u@h:/x', type: fuse.sshfs}", False), ("{what: 'h:/x', type: ceph}", False)),
        *(("{what: 'h:/x', type: glusterfs}", False), ("{what: 'h@tcp:/x', type: lustre}", False)),
        *(("{what: 'https://h/x', type: davfs}", False), ("{what: //h/x, type: cifs}", False)),
        *(("{what: 'h:/x', type: nfs4}", False), ("{what: 'h:/x', type: beegfs}", True)),
        *(("{what: bucket, type: fuse.s3fs}", True), ("{what: 'r:', type: rclone}", True)),
        *(("{what: fs, type: gpfs}", True), ("{what: h, type: 9p}", True)),
        *(("{what: 'h:/x'}", True), ("{what: //h/x}", True), ("{what: 'h:/x', type: auto}", True)),
        ("{what: /dev/disk/by-path/ip-1, type: xfs, options: [_netdev]}", True),
    ],
)
def test_a_network_file_system_is_remote(entry: str, netdev: bool) -> None:
    assert rendered(f"mounts: {{/srv: {entry}}}", "srv.mount") == ("remote-fs.target", netdev)


@pytest.mark.parametrize(
    "entry",
    [
        *("{what: /dev/sdb1, type: xfs}", "{what: /dev/sdb1}", "{what: tmpfs, type: tmpfs}"),
        *(
            "{what: t, type: 9p, options: {trans: virtio}}",
            "{what: t, type: virtiofs}",
            "{what: a, type: fuse.mergerfs}",
        ),
        *("{what: 'LABEL=a'}", "{what: pool/data, type: zfs}", "{what: /srv/b, options: [bind]}"),
    ],
)
def test_another_file_system_is_local(entry: str) -> None:
    assert rendered(f"mounts: {{/srv/a: {entry}}}", "srv-a.mount") == ("local-fs.target", False)


@pytest.mark.parametrize(
    ("path", "entry"),
    [
        ("/nfs/disk", "{what: /dev/sdb1, type: xfs}"),
        ("/home", "{what: /nfs/home, options: [bind]}"),
        ("/image", "{what: /nfs/a.squashfs, type: squashfs, options: [loop, ro]}"),
        ("/over", "{what: overlay, type: overlay, options: {lowerdir: '/a:/nfs/b', upperdir: /u, workdir: /w}}"),
    ],
)
def test_a_mount_that_is_on_a_remote_one_is_remote(path: str, entry: str) -> None:
    text = f"mounts: {{/nfs: {{what: 'h:/x', type: nfs}}, {path}: {entry}}}"

    assert rendered(text, f"{path[1:].replace('/', '-')}.mount") == ("remote-fs.target", True)


def test_an_older_systemd_learns_of_file_systems_that_it_does_not_know() -> None:
    assert rendered("mounts: {/srv: {what: 'h:/x', type: ceph}}", "srv.mount", "rhel-8") == ("remote-fs.target", True)


def test_an_overlay_waits_for_the_mounts_of_its_layers() -> None:
    overlay = "{what: overlay, type: overlay, options: {lowerdir: '/low/a:/b', upperdir: /up/u, workdir: /up/w}}"
    result = compiled(f"mounts: {{/low: {{what: /dev/a}}, /up: {{what: /dev/b}}, /over: {overlay}}}")
    (file,) = [a for a in result.artifacts if isinstance(a, UnitFile) and a.path == "normal/over.mount"]

    assert [line for line in file.content.splitlines() if "Mounts" in line] == [
        "RequiresMountsFor=/low",
        "RequiresMountsFor=/up",
    ]


def test_a_raw_mount_that_pid_1_takes_for_a_local_one_is_doubtful() -> None:
    unit = "Mount: {What: a, Where: /g, Type: gpfs}"
    ((pointer, code),) = [(p.where.pointer, p.code) for p in compiled(f"units: {{g.mount: {{{unit}}}}}").problems]

    assert (pointer, code) == ("units/g.mount/Mount/Type", "Doubtful")
    netdev = "Mount: {What: a, Where: /g, Type: gpfs, Options: _netdev}"
    assert compiled(f"units: {{g.mount: {{{netdev}}}}}").problems == ()


def test_a_local_mount_below_a_remote_one_is_an_ordering_cycle() -> None:
    nfs = "nfs.mount: {Mount: {What: 'h:/x', Where: /nfs, Type: nfs}}"
    disk = "nfs-disk.mount: {Mount: {What: /dev/sdb1, Where: /nfs/disk}, Install: {WantedBy: local-fs.target}}"
    order = "nfs.mount.d: {Unit: {After: multi-user.target}}"

    assert {p.code for p in compiled(f"units: {{{nfs}, {disk}, {order}}}").problems} == {"Cycle"}


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("after", "RequiresMountsFor=/srv/data"),
        ("requires", "RequiresMountsFor=/srv/data"),
        ("wants", "Wants=srv-data.mount"),
        ("part-of", "PartOf=srv-data.mount"),
        ("on-failure", "OnFailure=srv-data.mount"),
    ],
)
def test_a_mount_point_in_an_ordering_has_the_meaning_of_its_key(key: str, line: str) -> None:
    text = f"mounts: {{/srv/data: {{what: /dev/sdb1}}}}\nservices: {{a: {{command: /a, {key}: [/srv/data]}}}}"
    (file,) = [a for a in compiled(text).artifacts if isinstance(a, UnitFile) and a.path == "normal/a.service"]

    assert line in file.content.splitlines()
    assert ("RequiresMountsFor" in file.content) is line.startswith("RequiresMountsFor")


@pytest.mark.parametrize("key", ["before", "conflicts", "on-failure", "part-of"])
def test_a_path_that_is_not_a_mount_point_is_blocked_where_it_has_no_meaning(key: str) -> None:
    ((pointer, code, hint),) = [
        (p.where.pointer, p.code, p.hint)
        for p in compiled(f"services: {{a: {{command: /a, {key}: [/srv/my-data]}}}}").problems
    ]

    assert (pointer, code) == (f"services/a/{key}/~1srv~1my-data", "UnknownName")
    assert "srv-my\\x2ddata.mount" in hint


@pytest.mark.parametrize(("system", "key"), [("debian-13", "WantsMountsFor"), ("debian-12", "RequiresMountsFor")])
def test_a_wanted_path_is_not_required_where_systemd_can_express_it(system: str, key: str) -> None:
    result = compiled("services: {a: {command: /a, wants: [/srv]}}", system)
    (file,) = [a for a in result.artifacts if isinstance(a, UnitFile) and a.path == "normal/a.service"]

    assert f"{key}=/srv" in file.content.splitlines()
