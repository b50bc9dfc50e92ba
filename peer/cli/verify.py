"""`peer verify`."""

# No `from __future__ import annotations`: typer reads the annotations when it runs.
from typing import TYPE_CHECKING, Any, Final

from peer.cli import options, output
from peer.errors import UsageError

if TYPE_CHECKING:
    from peer.recording.check import Checked

WRONG: Final = 8
"""Exit code where something is wrong."""


def verify(
    paths: options.Recordings,
    *,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> int:
    """Check recordings against their manifests.

    Decodes every file to its end, and holds it against what its manifest says: size, SHA-256, length, frames, and what
    is missing. Exit code 8 when something is wrong.
    """
    from peer import logs
    from peer.recording.check import check
    from peer.recording.found import find

    logs.set_up(verbose=verbose, quiet=quiet)
    rows = [row for found in find(paths) for row in check(found)]
    if not rows:
        raise UsageError(f"there is no recording in {paths[0]}; name a directory of them, a manifest or a file")
    code = 0 if all(row.ok for row in rows) else WRONG
    if json:
        output.print_json({"exitCode": code, "error": None, "recordings": [_json(row) for row in rows]})
    else:
        output.print_checked(rows)
    return code


def _json(row: "Checked") -> dict[str, Any]:
    return {
        "path": str(row.path),
        "participant": row.participant,
        "seconds": round(row.seconds, 3),
        "videoFrames": row.video_frames,
        "audioFrames": row.audio_frames,
        "skew": None if row.skew is None else round(row.skew, 3),
        "missing": {cause: round(seconds, 3) for cause, seconds in row.missing.items()},
        "ok": row.ok,
        "problems": row.problems,
        "notes": row.notes,
    }
