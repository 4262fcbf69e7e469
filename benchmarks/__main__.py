"""`make bench`: every benchmark in a process of its own, or those that are named.

python -m benchmarks [evaluate|startup|slider|live_chart|training_step|step_time|
                      memory_formula|memory_process …]
"""

from __future__ import annotations

import subprocess
import sys

ALL = (
    "evaluate", "startup", "slider", "live_chart", "training_step", "step_time", "memory_formula",
    "memory_process",
)  # fmt: skip


def main() -> int:
    """Run them one after another, so that none disturbs another; 1 where one failed."""
    wanted = sys.argv[1:] or list(ALL)
    unknown = [name for name in wanted if name not in ALL]
    if unknown:
        print(f"no benchmark is called {unknown[0]}: there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    failed = False
    for name in wanted:
        print(f"\n== {name}", flush=True)
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False)
        failed |= done.returncode != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
