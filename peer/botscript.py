"""Loading the file that says what a bot does: `load(path)` gives a `Script`, whose `main(room)` runs it."""

from __future__ import annotations

import inspect
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from peer.errors import Error, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from os import PathLike

    from peer.call import Call
    from peer.room import Room

    OnCall = Callable[[Call], Awaitable[None]]
    Main = Callable[[Room], Awaitable[None]]

FORMS: Final = {"main": "async def main(room)", "on_call": "async def on_call(call)"}
"""What a script may define: one of them, by this name."""
PREFIX: Final = "bot."
"""Scripts are modules named so, `bot.greeter`: their loggers are one family, and no package is hidden by one."""
_OURS: Final = ("peer", "signaling")


@dataclass(frozen=True, slots=True)
class Script:
    """What a file said a bot does."""

    path: Path
    main: Main
    """Runs it in a room; of a script with `on_call`, answers every call and never returns."""
    on_call: OnCall | None
    """Runs over each call; None for a script with `main`."""
    modules: dict[str, Path]
    """What it is made of: itself, and the modules beside it that it imported, by name."""


def load(path: str | PathLike[str], arguments: Sequence[str] = (), *, before: Script | None = None) -> Script:
    """Run the file at `path` and take its `main(room)` or `on_call(call)`.

    It sees what it would see of `python PATH ARGUMENTS`: `sys.argv`, and the modules beside it; but its `__name__` is
    not `__main__`. With `before`, the same script as it was loaded last, the modules beside it are read anew too; what
    runs keeps its own.

    Raises:
        UsageError: there is no such file, it is no Python, or has neither or both of the two.
        Exception: what it raises itself.
    """
    file = Path(path).resolve()
    code = _compiled(file, str(path))
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    sys.argv = [str(path), *arguments]
    for name in before.modules if before else ():
        sys.modules.pop(name, None)
    loaded = set(sys.modules)
    module = ModuleType(PREFIX + file.stem)
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # where dataclasses look for it
    exec(code, module.__dict__)
    main, on_call = (_taken(module, name, str(path)) for name in FORMS)
    if (main is None) == (on_call is None):
        have, do = ("neither", "define one of them") if main is None else ("both", "leave one of them out")
        raise UsageError(f"{path} has {have} of `{FORMS['main']}` and `{FORMS['on_call']}`; {do}")
    modules = {module.__name__: file} | _beside(file.parent, set(sys.modules) - loaded)
    return Script(file, main or answering(lambda: on_call), on_call, modules)


def answering(on_call: Callable[[], OnCall]) -> Main:
    """What runs a script over each call that comes in: what `on_call()` gives at that time."""

    async def answer(room: Room) -> None:
        async for ring in room.rings():
            room.start(on_call(), ring.accept())

    return answer


def where(error: BaseException, script: Path) -> str:
    """The traceback of what a script raised, from the script on: who called it is of no help there. Of errors of ours,
    whose sentence says what to do, its own lines only."""
    told = traceback.TracebackException.from_exception(error)
    own = [index for index, frame in enumerate(told.stack) if frame.filename == str(script)]
    if own:
        told.stack[:] = told.stack[own[0] : own[-1] + 1 if isinstance(error, Error) else None]
    return "".join(told.format())


def _compiled(file: Path, said: str) -> Any:
    try:
        return compile(file.read_bytes(), str(file), "exec")
    except (SyntaxError, ValueError) as error:
        line = f" line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise UsageError(f"{said}{line} is no Python: {reason}; correct it") from error
    except OSError as error:
        raise UsageError(f"{said} cannot be read ({error.strerror}); name the file of a script") from error


def _taken(module: ModuleType, name: str, said: str) -> Any:
    """The coroutine function of that name, None where there is none. Raises UsageError for what cannot be run."""
    found = getattr(module, name, None)
    if found is None:
        return None
    if not inspect.iscoroutinefunction(found):
        raise UsageError(f"{name} in {said} is no coroutine; write `{FORMS[name]}`")
    signature = inspect.signature(found)
    try:
        signature.bind(object())
    except TypeError:
        raise UsageError(f"{name}{signature} in {said} has to take one argument; write `{FORMS[name]}`") from None
    return found


def _beside(folder: Path, names: set[str]) -> dict[str, Path]:
    """Which of these modules are files in `folder` or below it, and neither ours nor installed there."""
    found = {}
    for name in names:
        file = getattr(sys.modules[name], "__file__", None)
        path = Path(file) if file else None
        if path is None or name.split(".")[0] in _OURS or "site-packages" in path.parts:
            continue
        if path.is_relative_to(folder):
            found[name] = path
    return found
