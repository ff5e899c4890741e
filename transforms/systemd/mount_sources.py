"""The form that the source of a mount needs, by the type of its file system."""

from __future__ import annotations

from ordain.transforms.lazy_patterns import lazy_pattern

_SHARE, _UNC = lazy_pattern(r"[^/]+:.*|\[[^]]+\]:.*"), lazy_pattern(r"(?://|\\\\)[^/\\]+[/\\].+")
_DEVICE = lazy_pattern(r"/.*|(?:UUID|LABEL|PARTUUID|PARTLABEL|ID)=.+")
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
    if kind not in _FORMS or not source or "%" in source:
        return ""
    form, words = _FORMS[kind]
    return "" if form.fullmatch(source) else words
