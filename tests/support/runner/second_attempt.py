"""Run pytest, and run the few cases that failed again, one at a time: `second_attempt.py PYTEST-ARGUMENT …`.

This tells a defect from a machine test that a busy host made too slow. The cases that pass the second time are printed
last, as UNSTABLE: each has a race, which must be mended like a failure. Many failures at once have a common cause, so
they are not tried again.
"""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FAILURES_MAX = 5
TESTS_FAILED = 1
"""The exit status of pytest when tests failed; an interruption has another (docs.pytest.org, exit codes)."""
CACHE = ".pytest_cache"
"""pytest would take a place below the environment of tox otherwise (its `cacheprovider.py`, TOX_ENV_DIR)."""
LAST_FAILED = Path(CACHE, "v/cache/lastfailed")
GROUP = re.compile(r"@[^\]]*$")
"""pytest-xdist adds the group of a case to its name with `--dist loadgroup`; a single process does not."""


def main(arguments: Sequence[str]) -> int:
    LAST_FAILED.unlink(missing_ok=True)
    pytest = [sys.executable, "-P", "-m", "pytest", "-o", f"cache_dir={CACHE}", *arguments]
    first = subprocess.run(pytest, check=False).returncode
    failed = sorted(GROUP.sub("", name) for name in json.loads(LAST_FAILED.read_text())) if LAST_FAILED.exists() else []
    if first != TESTS_FAILED or not 0 < len(failed) <= FAILURES_MAX:
        return first
    print(f"second attempt of {len(failed)} failed cases", flush=True)
    LAST_FAILED.write_text(json.dumps(dict.fromkeys(failed, True)))
    second = subprocess.run([*pytest, "--last-failed", "-n", "0"], check=False).returncode
    if second == 0:
        print("UNSTABLE, passed the second time; mend the race:", *failed, sep="\n  ", flush=True)
    return second


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
