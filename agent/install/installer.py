"""One installation, from the arguments of the kernel to a disk that starts the system.

The root of the image is unpacked in RAM and its digest is verified before the first byte is written to a disk.

    order, disks ─choose_disk▶ disk ─judge▶ refused, or our partitions
      ─ complete and as ordered ▶ nothing is written
      ─ otherwise ▶ table, file systems, the root, boot loader, `write_start`

A step that a power cut interrupts is done again by the next installation (docs/design/install-to-disk.md).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ordain.agent.errors import Failure
from ordain.agent.install.archive import cpio_of
from ordain.agent.install.boot_loader import install_loader, loader_fingerprint, require_loader
from ordain.agent.install.disk_content import ESP_LABEL, Verdict, judge, mark_begun, read_content
from ordain.agent.install.disks import Disk, choose_disk
from ordain.agent.install.partitions import Partition, keep_or_make, make_file_system, make_partitions, read_file_system
from ordain.agent.install.start_file import Installation, Start, lasting_words, read_start, write_start
from ordain.agent.install.tools import Tools
from ordain.transforms.document.formats.netboot_formats import ONCE
from ordain.transforms.netboot.disk_plan import InstallOrder

MIB = 1 << 20
LINKS = ("vmlinuz", "initrd.img")
HANDED = "boot/ordain-handed.cpio"
FURTHER = "nofail,x-systemd.before=local-fs.target"
"""The options of all but the root: services wait for them, and a machine that lacks one still boots (fstab(5))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallSource:
    """The system to install: its files at ``root``, its kernel and initrd in /boot there, and the boot that began.

    ``words`` are all arguments of the kernel, and ``handed`` is the directory of the documents that came with the boot.
    """

    root: Path
    handed: Path
    work: Path
    release: str
    firmware: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallOutcome:
    """The identity of the installation on the disk now; ``changed``: something was written."""

    id: str
    disk: Disk
    changed: bool


def install(
    order: InstallOrder, source: InstallSource, disks: tuple[Disk, ...], tools: Tools, say: Callable[[str], None]
) -> InstallOutcome:
    """Install as ordered, if that is needed. Raises `Failure` and `OSError`; a refused disk is not written to."""
    require_loader(source.root, source.firmware)
    words = lasting_words(source.words)
    disk = choose_disk(disks, order.plan.device)
    content = read_content(disk.path, tools)
    verdict = judge(content)
    if verdict is Verdict.FOREIGN and content.name not in order.plan.wipe:
        raise Failure(
            f"{disk} is not empty: it holds {content.about}; nothing was written; "
            f"to destroy it, add {content.name} to netboot.disk.wipe"
        )
    run = _Run(order=order, source=source, disk=disk, tools=tools, say=say, words=words)
    if verdict is Verdict.OURS:
        before = run.state()
        if before.id and (order.plan.policy == ONCE or before.id == order.id):
            say(f"{disk} has the installation {before.id}; nothing is written")
            return InstallOutcome(id=before.id, disk=disk, changed=False)
    else:
        say(f"installing to {disk}, which holds {content.about or 'nothing'}")
        mark_begun(disk.path, begun=True)
    run.install(new=verdict is not Verdict.OURS)
    return InstallOutcome(id=order.id, disk=disk, changed=True)


def least_root(memory: int) -> int:
    """Return the bytes of the smallest partition for files that take ``memory`` bytes in a tmpfs, with room to work."""
    return memory * 5 // 4 + 256 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    order: InstallOrder
    source: InstallSource
    disk: Disk
    tools: Tools
    say: Callable[[str], None]
    words: tuple[str, ...]

    @property
    def esp(self) -> Path:
        return self.source.work / "esp"

    def state(self) -> Installation:
        """Return the state of a disk of ours."""
        content = read_content(self.disk.path, self.tools)
        entry = next(entry for entry in content.entries if entry.name == ESP_LABEL)
        device = self.tools.existing_partition(self.disk.path, entry.number, entry.offset)
        if not read_file_system(device, self.tools)[0]:
            return Installation()  # a power cut came between the table and the file system
        self.tools.mount(device, self.esp, options="ro")
        try:
            return read_start(self.esp)
        finally:
            self.tools.unmount(self.esp)

    def install(self, *, new: bool) -> None:
        """Write everything, the file that starts the disk last."""
        order, tools = self.order, self.tools
        least = least_root(order.memory)
        entries = () if new else read_content(self.disk.path, tools).entries
        self.say("partitions")
        work = self.source.work
        try:
            made = make_partitions(self.disk.path, order.plan, entries, least, new=new, work=work, tools=tools)
            if new:
                mark_begun(self.disk.path, begun=False)
            parts = {part.plan.name: part if part.plan.type == "root" else keep_or_make(part, tools) for part in made}
            tools.mount(parts["esp"].device, self.esp)
            try:
                self._install_on(parts)
            finally:
                tools.unmount(self.esp)
        finally:
            tools.unlock()

    def _install_on(self, parts: Mapping[str, Partition]) -> None:
        before = read_start(self.esp)
        state = replace(before, machine_id=before.machine_id or uuid.uuid4().hex)
        same = next((part for part in parts.values() if before.id and part.uuid == before.partition), None)
        if same is not None and before.root_sha256 == self.order.root_sha256:
            self.say("the root is the same; its table of file systems and its arguments are written")
            root = same
            self._fill(root, parts, copy=False)
        else:
            roots = [part for part in parts.values() if part.plan.type == "root"]
            root = next((part for part in roots if not (before.id and part.uuid == before.partition)), roots[0])
            if root.uuid == before.partition or not before.id:
                # From here on, nothing that this disk starts is whole.
                state = replace(state, id="", root_sha256="", partition="")
                write_start(self.esp, state, None)
            self.say(f"the file system of {root.device}, and {self.order.memory // MIB} MB of files")
            root = make_file_system(root, self.tools)
            self._fill(root, parts, copy=True)
        fingerprint = loader_fingerprint(self.source.root)
        if state.loader != fingerprint:
            self.say("the boot loader")
            install_loader(self.source.root, self.disk.path, self.esp, self.tools)
            self.tools.run("sync", "--file-system", self.esp)
        done = replace(
            state, id=self.order.id, root_sha256=self.order.root_sha256, partition=root.uuid, loader=fingerprint
        )
        write_start(self.esp, done, self._start(root, done))

    def _fill(self, root: Partition, parts: Mapping[str, Partition], *, copy: bool) -> None:
        """Copy the system into its file system, and write the files that a disk needs."""
        where = self.source.work / "root"
        self.tools.mount(root.device, where)
        try:
            if copy:
                self.tools.run("cp", "-ax", f"{self.source.root}/.", where)
            table = where / "etc/fstab"
            lines = [*_kept_lines(table, parts), _line(root, "/")]
            lines += [_line(part, part.plan.mount) for part in parts.values() if part.plan.mount]
            lines += [_line(part, "none") for part in parts.values() if part.plan.type == "swap"]
            for part in parts.values():
                if part.plan.mount:
                    (where / part.plan.mount.lstrip("/")).mkdir(parents=True, exist_ok=True)
            table.write_text("".join(f"{line}\n" for line in lines))
            handed = cpio_of(self.source.handed, "ordain")
            if handed:
                (where / HANDED).write_bytes(handed)
                (where / HANDED).chmod(0o600)
            else:
                (where / HANDED).unlink(missing_ok=True)
        finally:
            self.tools.unmount(where)

    def _start(self, root: Partition, done: Installation) -> Start:
        names = (f"boot/vmlinuz-{self.source.release}", f"boot/initrd.img-{self.source.release}")
        # Debian keeps these links on its latest kernel, so a disk that follows them needs no new configuration.
        root_of = self.source.root
        linked = all(_same(root_of / link, root_of / name) for link, name in zip(LINKS, names, strict=True))
        kernel, initrd = (f"/{name}" for name in (LINKS if linked else names))
        handed = (f"/{HANDED}",) if cpio_of(self.source.handed, "ordain") else ()
        words = (
            *self.words,
            f"systemd.machine_id={done.machine_id}",
            f"ordain.installed={self.order.root}",
            f"ordain.installed.sha256={self.order.root_sha256}",
        )
        return Start(fs_uuid=root.fs_uuid, kernel=kernel, initrds=(initrd, *handed), words=words)


def _same(link: Path, path: Path) -> bool:
    return link.is_symlink() and link.resolve() == path.resolve()


def _kept_lines(table: Path, parts: Mapping[str, Partition]) -> list[str]:
    """Return the lines of the image's own table of file systems, without those that we write."""
    try:
        lines = table.read_text(errors="replace").splitlines()
    except OSError:
        return []
    ours = {"/", *(_field(part.plan.mount) for part in parts.values() if part.plan.mount)}
    uuids = {f"UUID={part.fs_uuid}" for part in parts.values() if part.fs_uuid}
    fields = [(line, line.split()) for line in lines]
    return [line for line, words in fields if len(words) < 2 or (words[1] not in ours and words[0] not in uuids)]


def _field(path: str) -> str:
    """Return a path as one field of fstab(5)."""
    return path.translate({ord(character): f"\\{ord(character):03o}" for character in " \\#"})


def _line(part: Partition, where: str) -> str:
    kind = part.plan.format
    check = 0 if kind in ("swap", "xfs", "btrfs") else 1 if where == "/" else 2
    options = "defaults" if where == "/" else "sw,nofail" if kind == "swap" else FURTHER
    return f"UUID={part.fs_uuid} {_field(where)} {kind} {options} 0 {check}"
