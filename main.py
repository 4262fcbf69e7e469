"""Opens Trickster's window."""

from __future__ import annotations

import sys

from trickster_gui.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
