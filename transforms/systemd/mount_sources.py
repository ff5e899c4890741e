"""The form that the source of a mount needs, by the type of its file system."""

from __future__ import annotations

from ordain.transforms.lazy_patterns import lazy_pattern

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


def expected(kind: str, source: str) -> str:
    """Return the form that a source of type ``kind`` needs, "" if ``source`` has it or the type is not known.

    >>> expected("nfs", "nas"), expected("nfs", "nas:/srv"), expected("ext4", "sdb1")[:6]
    ('HOST:/PATH (nfs(5))', '', 'a path')
    """
    if kind == "bind":
        return "`options: [bind]` without a type: bind is an option of mount(8)"
    if not kind and source in _VIRTUAL:
        return f"`type: {source}` too"
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
