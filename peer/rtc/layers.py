"""Which simulcast layer (RFC 8853) is shown: the largest that flows; changed at keyframes only. Pure."""

from __future__ import annotations

from dataclasses import dataclass

SILENT = 1.0
"""Seconds without a frame after which the layer that is shown counts as switched off by its sender."""
ASK_AGAIN = 1.0
"""Seconds between two requests for a keyframe of a larger layer."""


@dataclass(slots=True)
class Layer:
    """What is known of one layer."""

    rid: str
    width: int = 0
    height: int = 0
    last_frame: float = -1e9
    """Seconds: when its last frame came."""
    asked: float = -1e9
    frames: int = 0

    @property
    def area(self) -> int:
        return self.width * self.height


class LayerChoice:
    """Sees the frames of all layers, and says which of them to hand on."""

    def __init__(self) -> None:
        self.layers: dict[str, Layer] = {}
        self.shown: str | None = None

    def take(self, rid: str, size: tuple[int, int] | None, now: float) -> bool:
        """A frame of layer `rid` came, `size` is that of a keyframe, None for others; True to hand it on."""
        layer = self.layers.setdefault(rid, Layer(rid))
        layer.last_frame = now
        layer.frames += 1
        if size is not None and size[0]:
            layer.width, layer.height = size
        if self.shown == rid:
            return True
        if size is None or not self._better(layer, now):
            return False
        self.shown = rid
        return True

    def wants_keyframe(self, rid: str, now: float) -> bool:
        """Whether to ask layer `rid`, of which a frame just came, for a keyframe: it would be shown with one."""
        layer = self.layers[rid]
        if rid == self.shown or now - layer.asked < ASK_AGAIN or not (layer.area == 0 or self._better(layer, now)):
            return False
        layer.asked = now
        return True

    def _better(self, layer: Layer, now: float) -> bool:
        current = self.layers.get(self.shown) if self.shown is not None else None
        if current is None or now - current.last_frame > SILENT:
            return True
        return layer.area > current.area
