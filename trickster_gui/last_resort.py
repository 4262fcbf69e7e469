"""The last line of defence: an error that nobody caught is written down and shown, never hidden."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import TracebackType

from engine import __version__

MAX_LOG_BYTES = 1 << 20
Hook = Callable[[type[BaseException], BaseException, TracebackType | None], None]


def install(log: Path, show: Callable[[str, str], None]) -> Callable[[], None]:
    """Catch what nobody else does: append it to ``log`` and ``show`` (one line, all details).

    Returns a function that puts the former hook back.
    """
    former = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            former(kind, error, where)
            return
        details = "".join(traceback.format_exception(kind, error, where))
        print(details, file=sys.stderr, end="")
        kept = write_log(log, details)
        line = (
            f"Something went wrong: {str(error).splitlines()[0] if str(error) else kind.__name__}"
        )
        show(line if kept else f"{line} ({log} can't be written)", details)

    sys.excepthook = hook

    def restore() -> None:
        if sys.excepthook is hook:
            sys.excepthook = former

    return restore


def write_log(log: Path, details: str) -> bool:
    """Append to the log, which starts over at 1 MiB. False where it can't be written."""
    heading = f"--- {datetime.now():%Y-%m-%d %H:%M:%S} Trickster {__version__}\n"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
            log.replace(log.with_suffix(".old.log"))
        with log.open("a", encoding="utf-8") as file:
            file.write(heading + details)
    except OSError:
        return False
    return True
