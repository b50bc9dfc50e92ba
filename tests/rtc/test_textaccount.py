"""Counts are enough to send again what did not arrive, and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from peer.rtc import textaccount
from peer.rtc.textaccount import TextAccount


@given(st.lists(st.text(max_size=5) | st.binary(max_size=5), max_size=30), st.integers(0, 40))
def test_what_the_other_side_has_not_heard_is_sent_again(texts: list[str | bytes], heard: int) -> None:
    account = TextAccount()
    for text in texts:
        account.said(text)
    assert account.unheard(heard) == texts[heard:]
    assert account.unheard(heard) == texts[heard:]


def test_what_is_kept_is_bounded() -> None:
    account = TextAccount()
    for number in range(100):
        account.said(f"{number:050000}")
    kept = account.unheard(0)
    assert sum(map(len, kept)) <= textaccount.MAX_KEPT
    assert [int(text[-5:]) for text in kept] == list(range(100 - len(kept), 100))
    assert account.unheard(99) == [f"{99:050000}"]
