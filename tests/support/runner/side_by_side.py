"""Run two commands at the same time: `side_by_side.py COMMAND … -- COMMAND …`; fail if one of them fails.

The second one has the terminal. The output of the first one comes last, where nobody misses it.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    divider = arguments.index("--")
    with (
        tempfile.TemporaryFile() as output,
        subprocess.Popen(
            arguments[:divider], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        ) as first,
    ):
        second = subprocess.run(arguments[divider + 1 :], check=False)
        first.wait()
        output.seek(0)
        print(f"{' '.join(arguments[:divider])}: exit status {first.returncode}", flush=True)
        sys.stdout.buffer.write(output.read())
    return first.returncode or second.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
