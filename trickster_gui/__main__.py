"""`python -m trickster_gui`, which is also the command `trickster`: opens the window."""

from __future__ import annotations

import sys

from trickster_gui import collector, preflight


def main() -> int:
    """Opens the window and returns its exit status, or explains why it can't open and returns 1."""
    if preflight.main():
        return 1
    collector.pause()
    # Qt is imported only now: without its libraries the import itself would fail.
    from trickster_gui.app import main as open_window

    return open_window()


if __name__ == "__main__":
    sys.exit(main())
