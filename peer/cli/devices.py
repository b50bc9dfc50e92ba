"""`peer devices`."""

# No `from __future__ import annotations`: typer reads the annotations when it runs.
from peer.cli import options, output

NOTHING = (
    "no camera, microphone or display was found here; "
    "use the test picture and tone: --video test --audio test, or a file: --video file:clip.webm"
)


def devices(*, json: options.Json = False, quiet: options.Quiet = False, verbose: options.Verbose = 0) -> None:
    """List cameras, microphones and displays.

    Each with the argument to type.
    """
    from dataclasses import asdict

    from peer import logs
    from peer.media.devices import list_devices

    logs.set_up(verbose=verbose, quiet=quiet)
    found = list_devices()
    if json:
        output.print_json({"devices": [asdict(device) for device in found]})
    elif found:
        output.print_devices(found)
    else:
        output.say(NOTHING)
