"""Pictures encoded live, VP8 by libvpx and H.264 by libx264, with what keeps up on one core. Blocks: for a thread."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, NamedTuple

import av
from av import VideoFrame
from av.video.frame import PictureType

from peer.errors import UsageError

CODECS: Final = ("VP8", "H264")
PRESETS: Final = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
)
CPU_USED: Final = tuple(map(str, range(17)))
"""What libvpx takes for one."""
FPS: Final = 30
"""That an encoder shares its bits out for; fewer pictures in a second get more each."""
START_BITRATE: Final = 800_000
"""Bits per second until the other side has said what the path takes."""
MIN_BITRATE: Final = 60_000
_MOST: Final = ((320 * 240, 600_000), (640 * 480, 1_700_000), (960 * 540, 2_000_000), (1280 * 720, 2_500_000))
"""Bits per second for pictures of so many pixels at most, as browsers have it ..."""
_MOST_LARGE: Final = 4_000_000
"""... and for larger ones."""
BITS_PER_PIXEL: Final = 0.02
"""Of a moving picture, at 30 a second: with fewer it breaks up into blocks, and a smaller one looks better."""
ENLARGE: Final = 1.4
"""By which there has to be more than that before the picture becomes larger again."""
SCALES: Final = (1.0, 2 / 3, 1 / 2, 1 / 3, 1 / 4)
MIN_SIDE: Final = 90
"""Pixels below which no side is made smaller."""
LOWER: Final = 0.85
"""Below this part of the rate that an encoder of VP8 was made for, another is made: through FFmpeg, libvpx takes no
other rate, and each new one begins with a keyframe, for which a narrow path has little room ..."""
HIGHER: Final = 1.3
"""... and above this part of it, but not before HIGHER_AFTER."""
HIGHER_AFTER: Final = 2 * 90_000
"""In units of CLOCK."""
ROOM: Final = 1.5
"""Multiple of its rate that an encoder of H.264 is made for: libx264 takes any rate below while it runs ..."""
LOOSE: Final = 0.4
"""... down to this part; below, the bursts that it was made for are too much for the path."""
CLOCK: Final = Fraction(1, 90_000)

_LIBVPX: Final = {
    "deadline": "realtime",
    "cpu-used": "-6",
    "lag-in-frames": "0",
    "noise-sensitivity": "0",
    "static-thresh": "1",
    "undershoot-pct": "100",
    "overshoot-pct": "15",
    "max-intra-rate": "400",  # a keyframe of four pictures' bits leaves within a moment; quality comes after
}
_LIBX264: Final = {
    "preset": "superfast",
    "tune": "zerolatency",
    "profile": "baseline",
    "level": "3.1",
    "x264-params": "scenecut=0:repeat-headers=1",
}


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """How pictures are encoded, where the program says so. None: as suits the path and the pictures."""

    codec: str | None = None
    """`VP8` or `H264`, in any case, where the other side takes it."""
    max_bitrate: int | None = None
    """Bits per second."""
    fps: float | None = None
    """Pictures per second at most; of the others some are left out."""
    size: tuple[int, int] | None = None
    """Width and height, in pixels, into which pictures have to fit; larger ones are made smaller."""
    preset: str | None = None
    """Of libx264, from `ultrafast` to `veryslow`; or of libvpx the number of its `cpu-used`, 0 to 16."""

    def __post_init__(self) -> None:
        """Raises UsageError for what cannot be."""
        if self.codec is not None and self.codec.upper() not in CODECS:
            raise UsageError(f"pictures are encoded as {' or '.join(CODECS)}, not as {self.codec}")
        if self.max_bitrate is not None and self.max_bitrate < MIN_BITRATE:
            raise UsageError(f"max_bitrate={self.max_bitrate} is too low; give bits per second, {MIN_BITRATE} or more")
        if self.fps is not None and not 0 < self.fps <= 240:
            raise UsageError(f"fps={self.fps:g} cannot be; give 0 to 240 pictures per second")
        if self.size is not None and not all(16 <= side <= 8192 for side in self.size):
            raise UsageError(f"size={self.size} cannot be; give width and height, 16 to 8192 pixels each")
        if self.preset is not None and self.preset not in (*PRESETS, *CPU_USED):
            raise UsageError(f"preset={self.preset!r} is unknown; use one of {', '.join(PRESETS)}, or 0 to 16 for VP8")

    @property
    def given(self) -> bool:
        """Whether any is."""
        return self != EncoderSettings()


class EncodedPicture(NamedTuple):
    """A frame of VP8, or an access unit of H.264 in Annex B."""

    data: bytes
    keyframe: bool


class VideoEncoder:
    """Encodes the pictures of one source, of any size; where they do not fit the bit rate, it makes them smaller."""

    def __init__(self, codec: str, settings: EncoderSettings | None = None) -> None:
        """`codec`: VP8 or H264, in any case, whatever `settings` say. Raises ValueError for another."""
        if codec.upper() not in CODECS:
            raise ValueError(f"pictures are encoded as {' or '.join(CODECS)}, not as {codec}")
        self._settings = settings or EncoderSettings()
        self.bitrate = START_BITRATE
        """Bits per second that are wanted from the next picture on, within what the size of the pictures is worth."""
        self._h264 = codec.upper() == "H264"
        self._context: Any = None
        self._made_for = self._made_at = 0
        self._scale = 1.0

    def encode(self, picture: VideoFrame, at: int, *, keyframe: bool = False) -> EncodedPicture | None:
        """Encode a picture; `at` is its time in 1/90000 s and grows. None when the encoder gave nothing for it."""
        whole = fitted(picture.width, picture.height, self._settings.size)
        bitrate = min(self.bitrate, most_for(whole[0] * whole[1]), self._settings.max_bitrate or self.bitrate)
        bitrate = max(MIN_BITRATE, bitrate)
        self._scale = scale_for(*whole, bitrate, self._scale)
        width, height = scaled(*whole, self._scale)
        frame = picture.reformat(width, height, format="yuv420p")
        frame.pts, frame.time_base = at, CLOCK
        if self._outgrown(width, height, bitrate, at):
            self._make(width, height, bitrate)
            self._made_at = at
        elif self._h264:
            self._context.bit_rate = bitrate
        frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        packets = self._context.encode(frame)
        data = b"".join([bytes(packet) for packet in packets])
        return EncodedPicture(data, any(packet.is_keyframe for packet in packets)) if data else None

    def _outgrown(self, width: int, height: int, bitrate: int, at: int) -> bool:
        if self._context is None or (self._context.width, self._context.height) != (width, height):
            return True
        relation = bitrate / self._made_for
        if self._h264:
            return not LOOSE <= relation <= 1
        return relation < LOWER or (relation > HIGHER and at - self._made_at >= HIGHER_AFTER)

    def _make(self, width: int, height: int, bitrate: int) -> None:
        context: Any = av.CodecContext.create("libx264" if self._h264 else "libvpx", "w")
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base, context.framerate = CLOCK, Fraction(FPS)
        context.bit_rate, context.gop_size = bitrate, 3000
        context.thread_count = 1  # libvpx's threads wait for each other in a busy loop; a call has other work, too
        preset = self._settings.preset
        made_for = bitrate
        if self._h264:
            made_for = round(min(bitrate * ROOM, max(bitrate, most_for(width * height))))
            context.options = {**_LIBX264, "maxrate": str(made_for), "bufsize": str(bitrate // 2)}
            if preset in PRESETS:
                context.options |= {"preset": preset}
        else:
            context.qmin, context.qmax = 2, 56
            context.options = {**_LIBVPX, **dict.fromkeys(("minrate", "maxrate", "bufsize"), str(bitrate))}
            if preset in CPU_USED:
                context.options |= {"cpu-used": f"-{preset}"}
        self._context, self._made_for = context, made_for


def fitted(width: int, height: int, into: tuple[int, int] | None) -> tuple[int, int]:
    """The size of a picture that has to fit: even sides in the same relation, none larger than they are."""
    if into is None or (width <= into[0] and height <= into[1]):
        return width, height
    scale = min(into[0] / width, into[1] / height)
    return max(2, int(width * scale / 2) * 2), max(2, int(height * scale / 2) * 2)


def most_for(pixels: int) -> int:
    """Bits per second beyond which pictures of that size gain little."""
    return next((most for limit, most in _MOST if pixels <= limit), _MOST_LARGE)


def scale_for(width: int, height: int, bitrate: int, before: float) -> float:
    """How large to send pictures of that size, as part of each side; `before`: how large they were."""
    for scale in SCALES:
        needed = width * height * scale**2 * FPS * BITS_PER_PIXEL
        if bitrate >= needed * (ENLARGE if scale > before else 1.0):
            return scale
    return SCALES[-1]


def scaled(width: int, height: int, scale: float) -> tuple[int, int]:
    """Even sides, none below MIN_SIDE that was not."""
    scale = max(scale, min(1.0, MIN_SIDE / min(width, height)))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)
