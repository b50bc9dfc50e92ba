"""Watches: shows the caller their own picture with a frame around what moves, and writes when something begins to.

peer bot examples/bots/motion.py http://localhost:8080 --name guard
"""

from collections.abc import Sequence

import cv2
import numpy as np

import peer


def moving(before: np.ndarray, now: np.ndarray) -> Sequence[int] | None:
    """The box (x, y, width, height) around what differs between two grey pictures; None: nothing much does."""
    changed = cv2.threshold(cv2.absdiff(before, now), 30, 255, cv2.THRESH_BINARY)[1]
    return cv2.boundingRect(changed) if cv2.countNonZero(changed) > changed.size // 500 else None


async def on_call(call: peer.Call) -> None:
    mirror = peer.PictureSource()
    call.show(mirror)
    before, was_moving = None, False
    async for picture in call.pictures():
        now = cv2.GaussianBlur(cv2.cvtColor(picture.array, cv2.COLOR_RGB2GRAY), (9, 9), 0)
        box = moving(before, now) if before is not None and before.shape == now.shape else None
        before = now
        shown = picture.array.copy()
        if box is not None:
            x, y, width, height = box
            cv2.rectangle(shown, (x, y), (x + width, y + height), (255, 80, 0), 3)
            if not was_moving:
                await call.write(f"something moves at {x + width // 2}, {y + height // 2}")
        was_moving = box is not None
        mirror.push(shown)
