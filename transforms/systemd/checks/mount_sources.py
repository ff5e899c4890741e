"""The form that the source of a mount needs, by the type of its file system."""

from __future__ import annotations

from ordain.transforms.errors import did_you_mean
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.systemd.network_file_systems import is_network_type

_SHARE, _UNC = lazy_pattern(r"[^/]+:.*|\[[^]]+\]:.*"), lazy_pattern(r"(?://|\\\\)[^/\\]+[/\\].+")
_DEVICE = lazy_pattern(r"/.*|(?:UUID|LABEL|PARTUUID|PARTLABEL|ID)=.+")
_NODE = lazy_pattern("(?:sd|vd|xvd|hd)[a-z]+[0-9]*|(?:nvme|mmcblk|md|dm-|loop|sr|nbd|zram)[0-9][a-z0-9]*")
"""The name of a device without its directory."""
_TAG = lazy_pattern("(UUID|PARTUUID)=(.*)")
_LONG = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_UUIDS = {
    "PARTUUID": (lazy_pattern(rf"{_LONG}|[0-9a-f]{{8}}-[0-9a-f]{{2}}"), "as blkid prints it, in lower case"),
    **dict.fromkeys(
        "ext2 ext3 ext4 xfs btrfs f2fs jfs reiserfs squashfs erofs".split(),
        (lazy_pattern(_LONG), "as blkid prints it, in lower case"),
    ),
    **dict.fromkeys(("vfat", "exfat"), (lazy_pattern("[0-9A-F]{4}-[0-9A-F]{4}"), "as blkid prints it, in upper case")),
}
"""The identifiers of partitions and of types of file systems, which udev makes links of (blkid(8))."""
_ANY_UUID = (lazy_pattern("[0-9A-Fa-f-]{8,36}"), "as blkid prints it")
_VIRTUAL = frozenset("tmpfs ramfs overlay proc sysfs devtmpfs hugetlbfs debugfs tracefs configfs mqueue".split())
"""File systems that need no source, and whose name is often written there."""
_FORMS = {
    **dict.fromkeys(("nfs", "nfs4"), (_SHARE, "HOST:/PATH (nfs(5))")),
    **dict.fromkeys(("cifs", "smb3", "smbfs"), (_UNC, "//HOST/SHARE (mount.cifs(8))")),
    **dict.fromkeys(
        "ext2 ext3 ext4 xfs btrfs f2fs vfat exfat ntfs ntfs3 iso9660 udf jfs reiserfs squashfs erofs".split(),
        (_DEVICE, "a path, such as /dev/sdb1, or UUID=…, LABEL=…, PARTUUID=…, PARTLABEL=…"),
    ),
}


_KNOWN = frozenset(
    "9p adfs affs afs apfs auto autofs befs bfs bpf btrfs ceph cgroup2 cifs coda configfs cramfs debugfs"
    " devpts devtmpfs ecryptfs efivarfs efs erofs ext2 ext3 ext4 exfat f2fs fuse fuseblk gfs2 glusterfs"
    " hfs hfsplus hpfs hugetlbfs iso9660 jffs2 jfs lustre minix mqueue msdos nfs nfs4 nilfs2 none ntfs"
    " ntfs3 ntfs-3g ocfs2 omfs orangefs overlay proc pstore qnx4 qnx6 ramfs reiserfs romfs securityfs smb3"
    " squashfs sshfs sysfs tmpfs tracefs ubifs udf ufs vboxsf vfat virtiofs xfs zfs zonefs bcachefs".split()
)
"""Types of file systems of Linux and of programs that mount."""
_TYPE = lazy_pattern("[a-z0-9][a-z0-9._+-]*")


def unlikely(kind: str) -> str:
    """Return the hint for a type that nothing brings, "" if a program or module may do so.

    >>> unlikely("EXT4"), unlikely("ext5"), unlikely("fuse.rclone"), unlikely("")
    ('write ext4', 'did you mean ext4 or ext3 or ext2?', '', '')
    """
    if is_network_type(kind):
        return ""
    if not kind or "%" in kind or kind in _KNOWN or kind == "bind" or kind.startswith("fuse"):
        return ""
    if kind.lower() in _KNOWN:
        return f"write {kind.lower()}"
    near = did_you_mean(kind.lower(), _KNOWN, cutoff=0.75)
    return near or ("" if _TYPE.fullmatch(kind) else "write a type such as ext4")


def expected(kind: str, source: str) -> str:
    """Return the form that a source of type ``kind`` needs, "" if ``source`` has it or the type is not known.

    >>> expected("nfs", "nas"), expected("nfs", "nas:/srv"), expected("ext4", "sdb1")[:6]
    ('HOST:/PATH (nfs(5))', '', 'a path')
    """
    if kind == "bind":
        return "`options: [bind]` without a type: bind is an option of mount(8)"
    if not kind and source in _VIRTUAL:
        return f"`type: {source}` too"
    if not kind and source.startswith(("~", "$", "./", "../")):
        return "a path from / on, as nothing expands it"
    if not kind and _NODE.fullmatch(source):
        return f"/dev/{source}, or its UUID=…, LABEL=…, PARTUUID=…, PARTLABEL=…"
    tag = _TAG.fullmatch(source)
    if tag and "%" not in source:
        form, words = _UUIDS.get("PARTUUID" if tag[1] == "PARTUUID" else kind, _ANY_UUID)
        return "" if form.fullmatch(tag[2].strip('"')) else f"the {tag[1]} {words}"
    if kind not in _FORMS or not source or "%" in source:
        return ""
    form, words = _FORMS[kind]
    return "" if form.fullmatch(source) else words
