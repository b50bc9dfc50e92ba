"""The command `peer`: thin, no logic of its own. One module per verb; what each does loads when the verb runs."""

from __future__ import annotations

from peer.cli.app import main

__all__ = ["main"]
