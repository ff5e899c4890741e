"""A machine in a directory, for tests that run the real executable of the generator as systemd runs it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ordain.generator.cache import Cache, pack

TREE = Path(__file__).parents[3]
SOURCES = TREE / "generator"
STUB = SOURCES / "ordain-generator"
BOOT_ID = "3c8d0cbb-5d32-4b3c-8a3a-1f1fb54cf5d4"
MACHINE_ID = "0123456789abcdef0123456789abcdef"

TRIAL = "run/ordain/boot/current"
CURRENT = "etc/ordain/boot/current"
FALLBACK = "etc/ordain/boot/fallback"
BASELINE = "usr/lib/ordain/boot/baseline"
DAMAGED = b"ordain-cache 1 00000000\n1\0x\0\0"


def cache(number: int, *, machine_id: str = "", boot_id: str = "") -> bytes:
    """Return a boot cache with a service, a link to it, a drop-in, an early mask and a late unit."""
    text = f"[Service]\nExecStart=/bin/echo {number}\n".encode()
    return pack(
        Cache(
            number=number,
            hash=f"hash{number}",
            machine_id=machine_id,
            boot_id=boot_id,
            entries=[
                ("normal/web.service", 0o644, text, None),
                ("normal/multi-user.target.wants/web.service", 0o777, None, b"../web.service"),
                ("normal/ssh.service.d/00-ordain.conf", 0o600, b"[Service]\nNice=5\n", None),
                ("early/multi-user.target.wants/cron.service", 0o777, None, b"/dev/null"),
                ("late/gap.target", 0o644, b"[Unit]\n", None),
            ],
        )
    )


def dump(*directories: Path) -> str:
    """Return everything below ``directories`` in the format of `ordainctl render`."""
    lines = []
    for directory in directories:
        for path in sorted(directory.rglob("*")):
            name = f"{directory.name}/{path.relative_to(directory)}"
            if path.is_symlink():
                lines.append(f"=== {name} -> {path.readlink()}\n")
            elif path.is_file():
                lines.append(f"=== {name} {path.stat().st_mode & 0o7777:04o}\n{path.read_text()}")
    return "".join(lines)


class Machine:
    """A root directory and the generator, run as systemd would run it."""

    def __init__(self, generator: Path, folder: Path) -> None:
        self.generator = generator
        self.root = folder / "root"
        self.out = folder / "out"
        for name in ("normal", "early", "late"):
            (self.out / name).mkdir(parents=True)
        self.put("proc/sys/kernel/random/boot_id", f"{BOOT_ID}\n")
        self.put("etc/machine-id", f"{MACHINE_ID}\n")
        self.put("proc/cmdline", "root=/dev/vda1 quiet\n")

    def put(self, path: str, content: bytes | str, mode: int = 0o644) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        target.chmod(mode)
        return target

    @property
    def directories(self) -> list[Path]:
        return [self.out / name for name in ("normal", "early", "late")]

    def command(self, *arguments: str | Path) -> list[str]:
        return [str(self.generator), f"--root={self.root}", *map(str, arguments or self.directories)]

    def run(self, *arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        result: subprocess.CompletedProcess[str] = subprocess.run(  # type: ignore[call-overload]
            self.command(*arguments),
            **{"capture_output": True, "text": True, "timeout": 30, "env": {}, "stdin": subprocess.DEVNULL} | options,
        )
        assert "Traceback" not in (result.stderr or "")
        return result

    @property
    def record(self) -> dict[str, str]:
        """Return the record of the run; notes are one text, and so are problems."""
        pairs: dict[str, str] = {}
        for line in (self.root / "run/ordain/boot/choice").read_text().splitlines():
            key, _, value = line.partition("=")
            pairs[key] = f"{pairs[key]}\n{value}" if key in pairs else value
        return pairs

    def placed(self) -> str:
        """Return the number of the placed generation, ``""`` for none."""
        unit = self.out / "normal/web.service"
        return unit.read_text().split()[-1] if unit.exists() else ""

    def names(self) -> list[str]:
        return sorted(str(p.relative_to(self.out)) for p in self.out.rglob("*") if p.is_symlink() or p.is_file())


def install(folder: Path) -> Path:
    """Return the executable, installed below ``folder`` with its modules as the package has them."""
    modules = folder / "lib/ordain/generator"
    modules.mkdir(parents=True)
    for source in SOURCES.glob("*.py"):
        (modules / source.name).write_bytes(source.read_bytes())
    compileall = ["/usr/bin/python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*compileall, str(modules)], check=True)
    text = STUB.read_text()
    assert text.count('"/usr/lib/ordain/') == 1
    before, _, after = text.partition('"/usr/lib/ordain/')
    stub = folder / "ordain-generator"
    stub.write_text(f'{before}"{folder}/lib"{after.partition(chr(34))[2]}')
    stub.chmod(0o755)
    return stub
