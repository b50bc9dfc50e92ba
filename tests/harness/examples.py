"""How many examples a test of properties takes, in the whole suite and in the quick one."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

USUAL = 100
"""Examples of a test that asks for no number, in the whole suite."""


def examples(count: int, **others: Any) -> settings:
    """`count` examples in the whole suite, and in the quick one as small a share of them as elsewhere.

    A number given to `settings` itself would stand above that of the profile. `others` are further settings.
    """
    return settings(max_examples=max(1, count * settings().max_examples // USUAL), **others)
