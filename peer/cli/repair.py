"""`peer repair`."""

# No `from __future__ import annotations`: typer reads the annotations when it runs.
from peer.cli import options, output
from peer.cli.verify import WRONG
from peer.errors import UsageError


def repair(
    paths: options.Recordings,
    *,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> int:
    """Put in order what a crash left.

    Files that nobody closed are cut back to what is whole, and get their index and length; manifests learn how it
    ended, and are made where there are none. Finished recordings are not touched. Exit code 8 when something stays
    wrong.
    """
    from peer import logs
    from peer.recording.found import find
    from peer.recording.repair import repair

    logs.set_up(verbose=verbose, quiet=quiet)
    results = [repair(found) for found in find(paths)]
    if not results:
        raise UsageError(f"there is no recording in {paths[0]}; name a directory of them, a manifest or a file")
    code = WRONG if any(result.problems for result in results) else 0
    if json:
        told = [
            {"manifest": str(each.path), "participant": each.participant, "done": each.done, "problems": each.problems}
            for each in results
        ]
        output.print_json({"exitCode": code, "error": None, "recordings": told})
        return code
    for result in results:
        for line in result.done if not quiet else ():
            output.say(line)
        for line in result.problems:
            output.say(f"error: {line}")
    if not any(result.done or result.problems for result in results):
        output.say("nothing had to be repaired")
    return code
