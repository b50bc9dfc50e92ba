"""`--config FILE`: the flags of a verb in a TOML file, below flags and environment, above the defaults."""

# No `from __future__ import annotations`: typer reads the annotations when it runs.
import difflib
import os
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_type_hints

import typer

from peer.errors import UsageError

MAX_FILE: Final = 256 * 1024
_NOT_IN_FILES: Final = {"config", "check", "show_config", "help"}


def _load(context: typer.Context, path: Path | None) -> Path | None:
    """Makes the file's values the defaults of this run. Called before any other flag is looked at."""
    if path is not None and not context.resilient_parsing:
        context.default_map = defaults(context, path)
    return path


Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", callback=_load, is_eager=True, help="TOML file with any of these flags."),
]


def defaults(context: typer.Context, path: Path) -> dict[str, Any]:
    """What the file says, by the names of the verb's parameters; relative paths begin at the file's folder.

    A table is a flag that takes `NAME=VALUE`: `[limit]` with `connections = 5000` is `--limit connections=5000`.
    Raises UsageError for a file that cannot be read, and for a name or shape that no flag has.
    """
    parameters = {one.name: one for one in context.command.params if one.name not in _NOT_IN_FILES}
    hints = get_type_hints(context.command.callback)
    found: dict[str, Any] = {}
    for key, value in _read(path).items():
        name = key.replace("-", "_")
        parameter = parameters.get(name)
        if parameter is None:
            known = [str(one).replace("_", "-") for one in parameters]
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"write {near[0]}" if near else "see peer serve --help"
            raise UsageError(f"{path}: {key!r} is no flag; {hint}")
        several = getattr(parameter, "multiple", False)
        found[name] = _value(path, key, value, several=several, is_path=_names_a_file(hints.get(name)))
    if os.environ.get("PEER_ICE_SERVERS", "").strip():  # a variable that is no flag's, yet stands above the file
        for name in ("ice_server", "ice_servers_file"):
            found.pop(name, None)
    return found


def _value(file: Path, key: str, value: Any, *, several: bool, is_path: bool) -> Any:
    if isinstance(value, dict) and several:
        value = [f"{name}={one}" for name, one in value.items()]
    if isinstance(value, dict) or (isinstance(value, list) and not several):
        raise UsageError(f"{file}: {key!r} takes one value; write it like {key} = ...")
    values = value if isinstance(value, list) else [value]
    if is_path:
        values = [str(file.parent / one) if isinstance(one, str) else one for one in values]
    return values if several else values[0]


def _names_a_file(hint: Any) -> bool:
    """Whether a parameter of this type takes a path, or several."""
    return hint is Path or any(map(_names_a_file, get_args(hint)))


def _read(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise UsageError(f"{path} is too long for a configuration; shorten it")
        return tomllib.loads(data.decode())
    except OSError as error:
        raise UsageError(f"the configuration {path} cannot be read ({error.strerror}); correct --config") from error
    except ValueError as error:  # tomllib.TOMLDecodeError, UnicodeDecodeError
        raise UsageError(f"{path} is no TOML ({error}); correct it") from error
