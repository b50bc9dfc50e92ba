"""`peer token`."""

# No `from __future__ import annotations`: typer reads the annotations when it runs.
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from peer.cli import options, output
from peer.cli.identity import of_environment
from peer.errors import DeviceError, UsageError

if TYPE_CHECKING:
    from peer.hosting import Key

USUAL = "call,be-called,publish,receive"

Room = Annotated[
    str | None, typer.Option(metavar="ROOM", envvar="PEER_ROOM", help="The room it is for; * stands for anything.")
]
Name = Annotated[
    str, typer.Option(metavar="NAME", envvar="PEER_NAME", help="The name it is for; * stands for anything.")
]
Can = Annotated[
    str, typer.Option(metavar="RIGHTS", help="What its bearer may do; also moderate, admin. Between them commas.")
]
Ttl = Annotated[str, typer.Option(metavar="TIME", help="How long it is good: 90s, 10m, 1h.")]
KeyFile = Annotated[Path | None, typer.Option(metavar="FILE", help="Sign with the first key in FILE that can.")]
SecretEnv = Annotated[
    str | None, typer.Option(metavar="NAME", help="Sign with the secret in the environment variable NAME.")
]
Audience = Annotated[str | None, typer.Option(metavar="AUD", help="The claim aud, if the server wants one.")]
Id = Annotated[str | None, typer.Option(metavar="ID", help="The claim jti, by which logs and limits know it.")]
Link = Annotated[str | None, typer.Option(metavar="URL", help="Print the address of the page at URL, with the token.")]
NewKey = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Make a secret in FILE, which only you may read, and end.")
]
KeyPair = Annotated[
    bool, typer.Option("--key-pair", help="With --new-key: an Ed25519 key in FILE, and its public half in FILE.pub.")
]
Show = Annotated[
    str | None, typer.Option(metavar="TOKEN|-", help="Print what is in a token (-: on standard input), and end.")
]


def token(
    *,
    room: Room = None,
    name: Name = "*",
    can: Can = USUAL,
    ttl: Ttl = "1h",
    key_file: KeyFile = None,
    secret_env: SecretEnv = None,
    audience: Audience = None,
    id: Id = None,
    link: Link = None,
    new_key: NewKey = None,
    key_pair: KeyPair = False,
    show: Show = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> int:
    """Make an access token, a key for them, or show what is in one.

    With --room: prints a token, signed with the key of --key-file or --secret-env. With --new-key: makes such a key.
    With --show: prints what a token says, without checking its signature.
    """
    from peer import logs

    logs.set_up(verbose=verbose, quiet=quiet)
    if sum(given is not None for given in (room, new_key, show)) != 1 and (show is not None or new_key is not None):
        room = None  # that of the environment is for tokens
    if sum(given is not None for given in (room, new_key, show)) != 1:
        raise UsageError("say one of --room ROOM, --new-key FILE and --show TOKEN; see peer token --help")
    if new_key is not None:
        _make(new_key, pair=key_pair, json=json)
    elif show is not None:
        _show(sys.stdin.readline() if show == "-" else show, json=json)
    else:
        claims = {"room": room, "name": name, "can": _rights(can), "aud": audience, "jti": id}
        _mint(claims, options.seconds_of(ttl, "--ttl"), _signing(key_file, secret_env), link, json=json)
    return 0


def _mint(claims: dict[str, Any], ttl: float, key: "Key", link: str | None, *, json: bool) -> None:
    from time import time

    from peer.hosting import Claims, mint

    now = int(time())
    try:
        made = mint(Claims(**claims, iat=now, exp=now + round(ttl)), key)
    except ValueError as error:
        raise UsageError(f"{error}; correct the flags") from error
    page = _page(link, claims, made) if link is not None else None
    if json:
        output.print_json({"token": made, "expires": _written(now + round(ttl)), **({"link": page} if page else {})})
    else:
        output.say(page or made)


def _page(link: str, claims: dict[str, Any], made: str) -> str:
    """The address of the page; what is behind # never leaves the browser."""
    from urllib.parse import urlencode

    query = {field: claims[field] for field in ("room", "name") if "*" not in claims[field]}
    return f"{link.rstrip('/')}/?{urlencode(query)}#token={made}"


def _rights(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _signing(key_file: Path | None, secret_env: str | None) -> "Key":
    """The key to sign with. Raises UsageError."""
    from peer.hosting import BadKey, read_keys, secret_key

    try:
        if key_file is not None and secret_env is None:
            keys = read_keys(key_file)
            key = next((one for one in keys if one.private), None)
            if key is None:
                raise UsageError(f"{key_file} holds public keys only; sign with the secret or the private key")
            return key
        if secret_env is not None and key_file is None:
            return secret_key(of_environment(secret_env, "--secret-env"))
    except BadKey as error:
        raise UsageError(str(error)) from error
    raise UsageError("say what to sign with, --key-file FILE or --secret-env NAME; peer token --new-key FILE makes one")


def _make(path: Path, *, pair: bool, json: bool) -> None:
    from peer.hosting import new_key_pair, new_secret

    files = {path: new_secret()}
    if pair:
        public = path.with_name(f"{path.name}.pub")
        files = dict(zip((path, public), new_key_pair(), strict=True))
    for one, text in files.items():
        _write(one, text, 0o644 if one != path else 0o600)
    server = list(files)[-1]
    if json:
        output.print_json({"files": list(map(str, files))})
    else:
        output.say(f"Key: {path}. Start the server with: peer serve --key-file {server}")


def _write(path: Path, text: str, mode: int) -> None:
    """A file of our own, with these rights from the beginning. Raises DeviceError where there is one already."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
    except FileExistsError as error:
        raise DeviceError(f"{path} is there already, and tokens may depend on it; name another file") from error
    except OSError as error:
        raise DeviceError(f"{path} cannot be written ({error.strerror}); name another file") from error


def _show(text: str, *, json: bool) -> None:
    from time import time

    from peer.hosting import peek

    try:
        found = peek(text.strip())
    except ValueError as error:
        raise UsageError(str(error)) from error
    claims = found["claims"] if isinstance(found["claims"], dict) else {}
    times = {name: claims[name] for name in ("exp", "nbf", "iat") if isinstance(claims.get(name), int | float)}
    left = times["exp"] - time() if "exp" in times else None
    if json:
        output.print_json(found | {"expiresIn": round(left, 3) if left is not None else None})
        return
    for name, value in (found["header"] | claims).items():
        output.say(f"{name:8} {_written(value) if name in times else value}")
    if left is not None:
        output.say(f"It {f'is good for {left:.0f} s more' if left > 0 else f'ended {-left:.0f} s ago'}; unchecked.")


def _written(when: float) -> str:
    try:
        return datetime.fromtimestamp(when, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        return str(when)
