"""``python -m engine``: everything without a window.

Only the module of the chosen command is imported, so a question about a design is answered at
once, without torch. Exit status: 0 done, 2 something that was typed cannot be used (one line on
standard error; for a card that cannot train its checklist follows), 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from engine import __version__

COMMANDS = (
    "params", "cost", "measure", "devices", "preflight", "card-environment", "calibrate", "presets",
    "parameters", "train", "resume", "generate", "export",
)  # fmt: skip
BAD_INPUT, INTERRUPTED, BROKEN_PIPE = 2, 130, 141


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        """Leave with status 2."""
        self.exit(BAD_INPUT, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal without × or µ shows ? for them
            stream.reconfigure(errors="replace")
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has had enough; keep the interpreter from complaining at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except _expected_errors() as error:
        name = f"engine {arguments[0]}" if arguments and arguments[0] in COMMANDS else "engine"
        print(f"{name}: {_one_line(error)}", file=sys.stderr)
        if details := getattr(error, "details", ""):  # a card's checklist
            print(details, file=sys.stderr)
        return BAD_INPUT


def _run(arguments: list[str]) -> int:
    chosen = arguments[0] if arguments and arguments[0] in COMMANDS else None
    names = COMMANDS if chosen is None else (chosen,)
    parser = Parser(
        prog="engine", allow_abbrev=False,
        description="Design, cost, train and use small language models.",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"Trickster {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    modules = {name: _module(name) for name in names}
    for name, module in modules.items():
        subparser = commands.add_parser(
            name, help=module.HELP, description=module.HELP, allow_abbrev=False
        )
        module.add_arguments(subparser)
    parsed = parser.parse_args(arguments)
    status = modules[parsed.command].run(parsed)
    sys.stdout.flush()  # a reader that is gone shows here, not at the interpreter's end
    return int(status)


def _module(command: str) -> ModuleType:
    return importlib.import_module(f"engine.cli.{command.replace('-', '_')}")


# Errors about something that a person typed or chose, by the module that has them.
_EXPECTED = {
    "engine.cost.calibration": ("CalibrationError",),
    "engine.data.errors": ("CorpusError", "TokenizerError"),
    "engine.devices.environment_error": ("CardEnvironmentError",),
    "engine.devices.host": ("DeviceError",),
    "engine.devices.interpreter": ("InterpreterError",),
    "engine.parameter": ("SpecError",),
    "engine.resource_files": ("ResourceError",),
    "engine.run_directory": ("RunDirectoryError",),
}


def _expected_errors() -> tuple[type[BaseException], ...]:
    """These errors, as far as their modules are loaded: no other can have been raised."""
    found: list[type[BaseException]] = [OSError]
    for module, names in _EXPECTED.items():
        if loaded := sys.modules.get(module):
            found += [getattr(loaded, name) for name in names]
    return tuple(found)


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename is not None else ""
        return f"{name}{error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
