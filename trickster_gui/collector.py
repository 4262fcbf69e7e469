"""When Python looks for garbage: never while the window opens, and never again in what stays.

A full collection walks every object there is, which in a window with its libraries takes a
hundred milliseconds: as long as six frames, in the middle of a drag.
"""

from __future__ import annotations

import gc


def pause() -> None:
    """Look for none from now on: whatever is imported and built next is there to stay."""
    gc.disable()


def settle() -> None:
    """Take all that is there for what stays, and look for garbage among newer objects only."""
    gc.freeze()
    gc.enable()
