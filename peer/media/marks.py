"""A code of bars in a picture, so that a program can tell which picture it received, and how old it is.

Two rows of 40 cells across the lower edge: the upper row carries the picture's number, the lower one the capture time
in milliseconds. Each row is dark, light, 24 bits and 12 bits of checksum (most significant first), light, dark. A cell
is a fortieth of the width and a sixteenth of the height: 16x30 pixels at 640x480, so it survives strong compression
and scaling. Everything is found by position alone; a picture that was cropped or turned cannot be read.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

BITS = 24
MODULUS = 1 << BITS
"""Numbers and milliseconds count modulo this: 6.5 days at 30 pictures a second, 4.66 hours of milliseconds."""
_CHECK_BITS = 12
_CELLS = 2 + BITS + _CHECK_BITS + 2
# Top of each row and its height, in fractions of the picture's height.
_ROWS = (13.5 / 16, 14.5 / 16)
_ROW_HEIGHT = 1 / 16
# Dark and light that are closer than this (of 255) are no code.
_CONTRAST = 40
# The checksums of the rows differ, so that one row is never taken for the other.
_NUMBER_SEED, _TIME_SEED = 0x1D0F, 0x84C3


@dataclass(frozen=True, slots=True)
class Mark:
    """What a picture says of itself: its number and, if stamped, its capture time (wall clock), both modulo 2**24."""

    number: int
    milliseconds: int | None


def stamp(array: Pixels, number: int, milliseconds: int | None = None) -> None:
    """Draw the code into `array`, in place.

    `array` is HxWx3 uint8 RGB (or BGR: the code is grey), or an HxW uint8 luma plane of video range.
    """
    dark, light = (0, 255) if array.ndim == 3 else (16, 235)
    _draw(array, _ROWS[0], _word(number, _NUMBER_SEED), dark, light)
    if milliseconds is not None:
        _draw(array, _ROWS[1], _word(milliseconds, _TIME_SEED), dark, light)


def read_number(array: Pixels) -> int | None:
    """The number stamped into `array` (HxWx3 RGB or HxW luma, any size), or None if there is none to be read."""
    return _read(array, _ROWS[0], _NUMBER_SEED)


def read_mark(array: Pixels) -> Mark | None:
    """Number and capture time stamped into `array`, or None if the number cannot be read."""
    number = _read(array, _ROWS[0], _NUMBER_SEED)
    return None if number is None else Mark(number, _read(array, _ROWS[1], _TIME_SEED))


def age(milliseconds: int, now: float) -> float:
    """Seconds between a stamped time and `now` (seconds of `time.time()`), within half the range of the stamp."""
    passed = (int(now * 1000) - milliseconds) % MODULUS
    return (passed - MODULUS if passed >= MODULUS // 2 else passed) / 1000


def _checksum(value: int, seed: int) -> int:
    return binascii.crc_hqx(value.to_bytes(3, "big"), seed) & ((1 << _CHECK_BITS) - 1)


def _word(value: int, seed: int) -> int:
    """All cells of a row as one number, the leftmost being the most significant bit."""
    value %= MODULUS
    return 0b01 << (BITS + _CHECK_BITS + 2) | value << (_CHECK_BITS + 2) | _checksum(value, seed) << 2 | 0b10


@lru_cache(maxsize=64)
def _cell_of_column(width: int) -> npt.NDArray[np.int64]:
    return np.minimum(np.arange(width, dtype=np.int64) * _CELLS // width, _CELLS - 1)


@lru_cache(maxsize=64)
def _cell_centres(width: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First and last+1 column of the middle half of every cell."""
    cell = width / _CELLS
    first = np.round((np.arange(_CELLS) + 0.25) * cell).astype(np.int64)
    last = np.round((np.arange(_CELLS) + 0.75) * cell).astype(np.int64)
    return first, np.maximum(last, first + 1)


def _bits(word: int) -> npt.NDArray[np.uint8]:
    return np.unpackbits(np.frombuffer(word.to_bytes(_CELLS // 8, "big"), np.uint8))


def _draw(array: Pixels, top: float, word: int, dark: int, light: int) -> None:
    height, width = array.shape[:2]
    levels = np.where(_bits(word), light, dark).astype(np.uint8)
    line: Any = levels[_cell_of_column(width)]
    rows = slice(round(top * height), round((top + _ROW_HEIGHT) * height))
    array[rows] = line if array.ndim == 2 else line[:, None]


def _read(array: Pixels, top: float, seed: int) -> int | None:
    height, width = array.shape[:2]
    if width < 2 * _CELLS or height < 32:
        return None
    first_row = round((top + _ROW_HEIGHT * 0.25) * height)
    last_row = max(first_row + 1, round((top + _ROW_HEIGHT * 0.75) * height))
    # Green stands for luma: the code is grey.
    band = array[first_row:last_row] if array.ndim == 2 else array[first_row:last_row, :, 1]
    first, last = _cell_centres(width)
    sums = np.concatenate(([0], np.cumsum(band.sum(axis=0, dtype=np.int64))))
    levels = (sums[last] - sums[first]) / ((last - first) * (last_row - first_row))
    darkest, lightest = max(levels[0], levels[-1]), min(levels[1], levels[-2])
    if lightest - darkest < _CONTRAST:
        return None
    word = int.from_bytes(np.packbits(levels > (darkest + lightest) / 2).tobytes(), "big")
    value = word >> (_CHECK_BITS + 2) & (MODULUS - 1)
    return value if word == _word(value, seed) else None
