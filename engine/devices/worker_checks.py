"""What training on a card needs of the Python that a worker runs under."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engine.devices.check import Check
from engine.devices.host_checks import Places
from engine.devices.interpreter import SUPPORTED, TTNN_VERSION, Interpreter
from engine.devices.tt_metal import metal_variables

_COMPILER_NAMES = "compiler/bin/riscv*-g++"
_VERSIONS = " or ".join(f"{major}.{minor}" for major, minor in SUPPORTED)
_BUILDING = "It is built from source together with tt-metal: docs/tenstorrent.md, section 7"
_NOT_TTML = "The package called ttml on PyPI is something else: do not install it."


def interpreter_checks(
    device: str, interpreter: Interpreter | None, places: Places, environment: Mapping[str, str],
    backend: str = "ttnn",
) -> tuple[Check, ...]:  # fmt: skip
    """Everything about the interpreter that ``backend`` needs, as far as it can be told."""
    python = _python(device, interpreter, backend)
    checks = [python]
    if interpreter is not None and interpreter.version:
        checks += [_packages(device, interpreter, backend), _ttnn(device, interpreter, backend)]
        if "numpy" in interpreter.packages:
            checks.append(_numpy(device, interpreter, backend))
    checks.append(_compiler(interpreter, places, environment, backend))
    if interpreter is not None and interpreter.version:
        checks.append(_ttml(device, interpreter, backend))
    return tuple(checks)


def _python(device: str, interpreter: Interpreter | None, backend: str) -> Check:
    title = "Python for the worker"
    advice = _getting_a_python(device, backend)
    if interpreter is None:
        said = f"no Python {_VERSIONS} was found, and ttnn exists for no other"
        return Check("python", title, "missing", said, advice)
    if not interpreter.version:
        said = f"{interpreter.path} cannot be used: {interpreter.problem}"
        return Check("python", title, "missing", said, advice)
    said = f"{interpreter.path} (Python {interpreter.version_text})"
    if not interpreter.supported:
        said += f", but ttnn exists only for {_VERSIONS}"
        return Check("python", title, "missing", said, advice)
    return Check("python", title, "ok", said)


def _getting_a_python(device: str, backend: str) -> str:
    if backend == "tt-train":
        made = "tt-metal makes one when it is built with tt-train: docs/tenstorrent.md, section 7"
    else:
        made = (
            "Install one (Debian, Ubuntu: sudo apt install python3.12 python3.12-venv), then:\n"
            f"{_making(device)}"
        )
    return f"{made}\nOr name one: {_naming_a_python(device, backend)}"


def _naming_a_python(device: str, backend: str) -> str:
    chosen = "" if backend == "ttnn" else f"--card-backend {backend} "
    return f"python -m engine preflight --device {device} {chosen}--python PATH"


def _making(device: str) -> str:
    """How to have the environment made or mended."""
    return (
        "“Make it” in the window's checklist makes one with all that is needed; so does\n"
        f"python -m engine card-environment --device {device} (in a checkout also: make "
        "tenstorrent-env)"
    )


def _installing(device: str, interpreter: Interpreter, packages: str, backend: str) -> str:
    """How to install packages: never into a Python that belongs to the system."""
    fresh = _making(device)
    if backend == "tt-train":  # that environment would have no ttml
        fresh = "Use the Python that tt-metal makes: docs/tenstorrent.md, section 7"
    if not interpreter.is_environment:
        return fresh
    return f"{fresh}\nOr install by hand: {interpreter.path} -m pip install {packages}"


def _packages(device: str, interpreter: Interpreter, backend: str) -> Check:
    title, missing = "The engine's packages", interpreter.missing()
    if not missing:
        return Check("packages", title, "ok", "all there")
    quoted = " ".join(f"'{name}'" if "<" in name else name for name in missing)
    count = f"{len(missing)} package{'s' if len(missing) > 1 else ''} that the engine needs"
    return Check(
        "packages", title, "missing",
        f"{count} {'are' if len(missing) > 1 else 'is'} missing in the worker's Python",
        f"Missing: {', '.join(missing)}\n{_installing(device, interpreter, quoted, backend)}",
    )  # fmt: skip


def _ttnn(device: str, interpreter: Interpreter, backend: str) -> Check:
    install = _installing(device, interpreter, f"ttnn=={TTNN_VERSION} 'numpy<2'", backend)
    if backend == "tt-train":  # a wheel's ttnn does not go with a ttml that was built here
        install = _BUILDING
    version = interpreter.packages.get("ttnn")
    if version is None:
        said = "ttnn is not installed in the worker's Python"
        return Check("ttnn", "ttnn", "missing", said, install)
    if interpreter.ttnn_error:
        said = f"ttnn cannot be imported: {interpreter.ttnn_error}"
        return Check("ttnn", "ttnn", "missing", said, f"Install it again.\n{install}")
    if not interpreter.ttnn_folder:
        said = f"whether ttnn can be imported is not told: {interpreter.problem or 'no answer'}"
        return Check("ttnn", "ttnn", "unknown", said)
    other = f"; this version was made with {TTNN_VERSION}" if version != TTNN_VERSION else ""
    return Check("ttnn", "ttnn", "ok", f"{version or 'built from source'}{other}")


def _numpy(device: str, interpreter: Interpreter, backend: str) -> Check:
    title, version = "numpy below 2", interpreter.packages.get("numpy", "")
    major = version.partition(".")[0]
    if not major.isdigit():
        return Check("numpy", title, "unknown", "its version is not told")
    if int(major) >= 2:
        said = f"numpy {version}, but ttnn needs one below 2"
        advice = _installing(device, interpreter, "'numpy<2'", backend)
        return Check("numpy", title, "missing", said, advice)
    return Check("numpy", title, "ok", version)


def _compiler(
    interpreter: Interpreter | None, places: Places, environment: Mapping[str, str], backend: str
) -> Check:
    title = "Kernel compiler sfpi"
    metal = {} if interpreter is None else metal_variables(interpreter.path, environment)
    named = {**environment, **metal}
    roots = [named[name] for name in ("TT_METAL_RUNTIME_ROOT", "TT_METAL_HOME") if named.get(name)]
    if interpreter is not None and interpreter.ttnn_folder:
        roots.append(interpreter.ttnn_folder)
    inside = [Path(root) / "runtime" / "sfpi" for root in dict.fromkeys(roots)]
    folders = [*inside, places.compiler]
    for folder in folders:
        if any(folder.glob(_COMPILER_NAMES)):
            return Check("sfpi", title, "ok", str(folder))
    said = f"not found at {' or '.join(map(str, folders))}"
    how = "It is not in ttnn's wheel. Install it from"
    if backend == "tt-train":
        how = "tt-metal's install_dependencies.sh installs it. Or take it from"
    releases = "https://github.com/tenstorrent/sfpi/releases"
    return Check("sfpi", title, "missing", said, f"{how} {releases}")


def _ttml(device: str, interpreter: Interpreter, backend: str) -> Check:
    """tt-train's bindings: what one way to train needs, and the other takes no notice of."""
    needed = backend == "tt-train"
    title = "tt-train's ttml" if needed else "tt-train's ttml (optional)"

    def missing(said: str, advice: str = "") -> Check:
        steps = [_BUILDING, f"Or name a Python that has it: {_naming_a_python(device, backend)}",
                 "Or train by our own graph, on one chip: card_backend = ttnn"]  # fmt: skip
        built = () if needed else ("tt-train's is built from source together with tt-metal.",)
        lines = [advice, *(steps if needed else ()), " ".join((_NOT_TTML, *built))]
        return Check("ttml", title, "missing", said, "\n".join(filter(None, lines)), needed)

    if interpreter.ttml_real is None:
        where = "ttml is not installed in the worker's Python"
        return missing(where if needed else "not installed; not needed")
    if not interpreter.ttml_real:
        said = "the ttml that is installed is another package of that name"
        return missing(said, f"{interpreter.path} -m pip uninstall ttml")
    if interpreter.ttml_error:
        return missing(f"ttml cannot be imported: {interpreter.ttml_error}")
    return Check("ttml", title, "ok", "tt-train's is importable", needed=needed)
