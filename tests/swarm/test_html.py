"""The page of a report: whole, well-formed, needs nothing from elsewhere, and lets nobody write into it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from peer.swarm.html import page
from peer.swarm.plan import Plan
from peer.swarm.report import made
from peer.swarm.saturation import MachineFigures
from tests.swarm.samples import URL, bot, collected, report

EVIL = "<script>alert(1)</script>"


class Read(HTMLParser):
    """What is in a page; what is opened has to be closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_it_needs_nothing_from_elsewhere() -> None:
    text = page(report("join_p95>2s", "loss>0.5%"))
    read = Read(text)
    assert not {"script", "link", "img", "iframe", "object"} & set(read.tags)
    assert not {"src", "href", "srcset"} & {name for name, _ in read.attributes}
    assert "url(" not in text and "@import" not in text
    assert read.tags.count("svg") >= 10 and "prefers-color-scheme: dark" in text


def test_what_it_shows() -> None:
    read = Read(page(report("join_p95>2s", "loss>0.5%", interrupted=True)))
    for words in (
        "4/4",
        "bot-004",
        "lab-02",
        "held --fail-if join_p95>2s",
        "failed --fail-if loss>0.5%",
        "interrupted",
    ):
        assert words in read.text, words
    assert "What went wrong" not in read.text and "Mind the figures" not in read.text


def test_what_went_wrong() -> None:
    plan = Plan(url=URL, bots=2)
    found = collected(plan, bot(0), bot(1, state="failed", error=EVIL), lags=(0.5,))
    found.crashed(0, EVIL, 5.0, again=False)
    told = made(plan, found, MachineFigures(2), started=0.0, seconds=1.0, interrupted=False)
    read = Read(page(told))
    assert "script" not in read.tags and EVIL in read.text
    assert "Mind the figures" in read.text and "process 1 " in read.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"to": EVIL}, "each calls"),
        ({"script": EVIL}, "each runs"),
        ({"calls": "mesh"}, "all calling all"),
        ({"to": "x", "receive_only": True}, "sending nothing"),
    ],
)
def test_what_was_to_be_done(changes: dict[str, Any], words: str) -> None:
    read = Read(page(report(**changes)))
    assert words in read.text and "script" not in read.tags


def test_bots_that_measured_nothing() -> None:
    read = Read(page(report(bots=[bot(n, join=None, connect=None, packets=0, lost=0, latency=None) for n in range(4)])))
    assert not re.search(r"\b(None|nan|inf)\b", read.text)
