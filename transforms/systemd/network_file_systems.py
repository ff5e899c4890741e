"""The file systems that need the network, and those of them that PID 1 itself takes for one (systemd.mount(5))."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ordain.transforms.lazy_patterns import lazy_pattern

_OF_SYSTEMD = frozenset(
    "afs ceph cifs davfs gfs gfs2 glusterfs lustre ncp ncpfs nfs nfs4 ocfs2 orangefs pvfs2 smb3 smbfs sshfs".split()
)
"""Those of fstype_is_network() in systemd's src/basic/mountpoint-util.c, read back from systemd 257."""
_FURTHER = frozenset(
    "9p beegfs blobfuse blobfuse2 cephfs curlftpfs cvmfs cvmfs2 davfs2 efs gcsfuse geesefs goofys gpfs hadoop-fuse-dfs"
    " juicefs lizardfs mfs moosefs objectivefs panfs rclone s3fs s3ql saunafs seaweedfs weed wekafs xtreemfs".split()
)
"""Others, which PID 1 takes for local ones unless they have the option _netdev."""
_ADDED_BY_247 = frozenset(("ceph", "davfs", "orangefs"))
_VERSION_WITH_ALL = 247
NETDEV = "_netdev"
"""The option that tells PID 1 and mount(8) that a mount needs the network."""
_LOCAL_9P = frozenset(("virtio", "xen", "usbg", "fd"))
_NFS, _CIFS = lazy_pattern(r"[^/:]+:/.*|\[[^]]+\]:/.*"), lazy_pattern(r"//[^/]+/.+")
"""Sources for which mount(8) guesses the type."""


def is_network_type(kind: str) -> bool:
    """Return whether ``kind`` is a type of file systems on the network; some have a mount helper of their own."""
    return kind.removeprefix("fuse.") in _OF_SYSTEMD | _FURTHER


def needs_network(kind: str, source: str, options: Mapping[str, object]) -> bool:
    """Return whether a file system of type ``kind`` from ``source`` is on the network.

    >>> needs_network("fuse.sshfs", "", {}), needs_network("", "nas:/srv", {}), needs_network("xfs", "/dev/sdb1", {})
    (True, True, False)
    """
    name = kind.removeprefix("fuse.")
    if NETDEV in options:
        return True
    if name == "9p":
        return options.get("trans") not in _LOCAL_9P
    guessed = kind in ("", "auto") and bool(_NFS.fullmatch(source) or _CIFS.fullmatch(source))
    return guessed or name in _OF_SYSTEMD or name in _FURTHER


def is_network_for_systemd(kind: str, options: Collection[str], systemd: int) -> bool:
    """Return whether PID 1 waits for the network before such a mount (mount_is_network() in src/core/mount.c)."""
    name = kind.removeprefix("fuse.")
    known = name in _OF_SYSTEMD and not (systemd < _VERSION_WITH_ALL and name in _ADDED_BY_247)
    return NETDEV in options or known
