"""Fill this environment for the tests: `tests/support/runner/fill_environment.py EXTRA…`; fill it once for each list.

The extras are those of pyproject.toml. `pip install -e .` takes 5 s of CPU time longer, since it fetches setuptools and
builds a package, where a line in a file of the environment is enough.
"""

import hashlib
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Sequence
from pathlib import Path

TREE = Path(__file__).parents[3]


def main(extras: Sequence[str]) -> int:
    project = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    filled = Path(sys.prefix, "ordain-filled")
    digest = hashlib.sha256("\n".join([str(TREE), *wanted]).encode()).hexdigest()
    if filled.exists() and filled.read_text() == digest:
        return 0
    modules = Path(sysconfig.get_path("purelib"), "ordain.pth")
    modules.write_text(f"{TREE}/packaging/typing\n")  # links that show Python the packages as ordain.*
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    done = subprocess.run([*pip, *wanted], check=False)
    if done.returncode == 0:
        filled.write_text(digest)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
