"""The verbs put together, and the way out: one sentence and one exit code, whatever happens."""

# No `from __future__ import annotations`: typer reads the annotations when it runs.
import logging
import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from peer.cli import bot, call, demo, devices, doctor, oneway, output, record, repair, serve, swarm, token, verify
from peer.cli.signals import Interrupted, end_quietly
from peer.errors import Error

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(
    name="peer",
    help="A headless WebRTC peer: call a browser, be called by one, keep a recording.",
    epilog="First steps: peer demo. Exit codes and all the rest: docs/cli.md.",
    add_completion=False,  # it costs a tenth of a second at each start
    rich_markup_mode=None,  # so does rich, which only the tables need
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("serve", context_settings={"auto_envvar_prefix": "PEER"})(serve.serve)
app.command("call")(call.call)
app.command("record")(record.record)
app.command("publish")(oneway.publish)
app.command("pull")(oneway.pull)
app.command("bot")(bot.bot)
app.command("swarm")(swarm.swarm)
app.command("devices")(devices.devices)
app.command("doctor")(doctor.doctor)
app.command("verify")(verify.verify)
app.command("repair")(repair.repair)
app.command("token")(token.token)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"webrtc-peer {version('webrtc-peer')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Flags of the command itself."""


def main(arguments: "Sequence[str] | None" = None) -> None:
    """Run the command and leave the process with its exit code."""
    end_quietly()
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code = app(args=list(arguments), prog_name="peer", standalone_mode=False) or 0
    except Interrupted:
        code = 0
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output is gone; nothing can be said to them
        code = 0
    except Exception as error:
        sentence, code = _explained(error)
        sys.stderr.write(f"{sentence}\n")
        if "--json" in arguments:
            output.print_json({"exitCode": code, "error": sentence})
    sys.exit(code)


def _explained(error: Exception) -> tuple[str, int]:
    """What to say, and the exit code. Where it happened goes to the log, for a mistake of ours in any case."""
    if isinstance(error, Error):
        logging.getLogger(__name__).debug("ended by an error", exc_info=error)
        return str(error), error.exit_code
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):
        return _one_line(error.format_message()), error.exit_code  # typer's: an unknown, missing or bad flag
    import traceback

    sys.stderr.write("".join(traceback.format_exception(error)))
    return f"this is a mistake in peer, please report it: {type(error).__name__}: {error}", 1


def _one_line(text: str) -> str:
    """A message of typer's as a sentence; the help it gives for no arguments at all stays as it is."""
    if text.startswith("Usage:"):
        return text
    text = re.sub(r"\(env var: '\['(.*?)'\]'\)", lambda names: f"({names[1].replace(chr(39), '')})", text)
    text = " ".join(text.split()).rstrip(".")
    return f"{text[:1].lower()}{text[1:]}; see peer --help"
