"""The report as a page. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peer.swarm.report import SwarmReport


def page(report: SwarmReport) -> str:
    return ""
