"""One case, in a process of its own that is forked for it: set the limits, run the code, hand back what it did.

Nothing here is trusted: the code shares this process and may rewrite all of it. What it can reach from here is its
own output, and neither the expected values nor the score have ever been in the sandbox.
"""

from __future__ import annotations

import _sitebuiltins
import atexit
import builtins
import os
import resource
import sys

from . import codec, frame, kernel, seccomp

_plain_open = open

TYPE_CHECKING = False  # importing `typing` costs 7 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

OUT_OF_MEMORY = 83  # exit status
STARTED = b"S"  # first byte on the result pipe: what goes wrong from here on is the code's doing
VALUE, NO_VALUE = b"V", b"E"  # the next one, if a function was called
_MODULE = "solution"
_SIGKILL = 9
_DEVICES = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}  # contest programs open these; there is no /dev here


def run(
    config: dict[str, Any],
    calls: tuple[bytearray, list[int]],
    case: dict[str, Any],
    streams: tuple[int, int, int],
    result: int,
) -> NoReturn:
    """Never returns. `streams`: descriptors for stdin, stdout, stderr; `result`: where a function's value goes."""
    status = 1
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, _SIGKILL)
        os.setsid()
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
        os.closerange(3, result)
        os.closerange(result + 1, 1 << 12)
        _prepare_interpreter()
        _limit(config, calls)
        os.write(result, STARTED)
        status = _guarded(lambda: _run(config["code"], case, result))
    finally:
        os._exit(status)


def _limit(config: dict[str, Any], calls: tuple[bytearray, list[int]]) -> None:
    limits = {
        resource.RLIMIT_CPU: config["cpu"],
        resource.RLIMIT_FSIZE: config["disk"],
        resource.RLIMIT_NOFILE: 128,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_SIGPENDING: 128,  # timers count here
        resource.RLIMIT_STACK: min(64 << 20, config["memory"]),
        resource.RLIMIT_AS: config["memory"],
    }
    if config["counted"]:
        limits[resource.RLIMIT_NPROC] = config["processes"] + 2  # the two processes that wait for this one count too
    if config["backend"] != "none":
        seccomp.install(*calls)
    for kind, value in limits.items():
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def _prepare_interpreter() -> None:
    for name in ("exit", "quit"):  # under -S the interpreter lacks them
        setattr(builtins, name, _sitebuiltins.Quitter(name, "Ctrl-D"))
    sys.argv = [f"{_MODULE}.py"]
    builtins.open = _open
    text: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape", "closefd": False}
    sys.stdin = sys.__stdin__ = open(0, **text)  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = open(1, "w", **text)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # type: ignore[misc]


def _open(file: Any, *args: Any, **options: Any) -> Any:
    return _plain_open(os.dup(_DEVICES[file]) if type(file) is str and file in _DEVICES else file, *args, **options)


def _run(code: str, case: dict[str, Any], result: int) -> None:
    function, code = case["function"], code.removeprefix("\ufeff")
    module = type(sys)("__main__" if function is None else _MODULE)
    sys.modules[module.__name__] = module
    namespace = module.__dict__
    if function is None:
        exec(compile(code, f"{_MODULE}.py", "exec", dont_inherit=True), namespace)
        return
    given: Any = codec.decode(case["arguments"])
    frame.warm()  # a program that was first run for its output is not warm yet
    frame.provide()
    exec(compile(code, f"{_MODULE}.py", "exec", dont_inherit=True), namespace)
    value = frame.call(_find(namespace, function), namespace, *given)
    try:
        _write(result, VALUE + codec.encode(value))
    except codec.CodecError as error:
        _write(result, NO_VALUE + str(error).encode("utf-8", "replace"))


def _find(namespace: dict[str, Any], function: str) -> Callable[..., Any]:
    """`name`, `Class.name`, or, as on LeetCode, the method `name` of a class `Solution`."""
    owner, _, name = function.rpartition(".")
    if not owner and name not in namespace and "Solution" in namespace:
        owner = "Solution"
    if owner:
        return getattr(namespace[owner](), name)
    if name not in namespace:
        raise NameError(f"the code defines no function {name!r}")
    return namespace[name]


def _guarded(action: Callable[[], None]) -> int:
    """The exit status of `action`, with what an interpreter does at its end: threads, exit functions, flushing."""
    status = _status(action)
    if "threading" in sys.modules:
        status = status or _status(sys.modules["threading"]._shutdown)
    status = status or _status(atexit._run_exitfuncs)
    return status or _status(_flush)


def _flush() -> None:
    sys.stdout.flush()
    if sys.__stdout__ is not None and sys.__stdout__ is not sys.stdout:
        sys.__stdout__.flush()


def _status(action: Callable[[], object]) -> int:
    try:
        action()
    except SystemExit as leaving:
        if leaving.code is None or isinstance(leaving.code, int):
            return (leaving.code or 0) & 0xFF
        sys.stderr.write(f"{leaving.code}\n")
        return 1
    except MemoryError:
        return OUT_OF_MEMORY
    except BaseException as error:
        _show(error)
        return 1
    return 0


def _show(error: BaseException) -> None:
    """The traceback on stderr, without this file's own frames."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == _show.__code__.co_filename:
        trace = trace.tb_next
    sys.__excepthook__(type(error), error, trace)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
