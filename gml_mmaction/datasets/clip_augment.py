"""Augmentation that is the same for every frame of a clip."""

import cv2
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from gml_mmaction.errors import SettingError


@TRANSFORMS.register_module()
class ClipAugment(BaseTransform):
    """Random gamma, colour, rotation and zoom, drawn once for a clip.

    Drawing them for each frame would create the very motion that GML looks
    for. The host's ``ColorJitter`` draws once too, but overflows under
    NumPy 2 whenever its hue offset is negative.

    Paper: silent on augmentation; off unless a config asks for it.

    Args:
        gamma: The exponent's logarithm is uniform in [-gamma, gamma].
        colour: A channel's gain is uniform in [1 - colour, 1 + colour].
        rotation: Degrees, uniform in [-rotation, rotation].
        zoom: The scale's logarithm is uniform in [-zoom, zoom].

    Raises:
        SettingError: One is out of its bounds: 0 to 3, to 1 (colour), to 180
            (rotation).
    """

    def __init__(
        self,
        gamma: float = 0.0,
        colour: float = 0.0,
        rotation: float = 0.0,
        zoom: float = 0.0,
    ) -> None:
        for name, value, high in (
            ('gamma', gamma, 3),
            ('colour', colour, 1),
            ('rotation', rotation, 180),
            ('zoom', zoom, 3),  # beyond it OpenCV mirrors for hours
        ):
            if not 0 <= value <= high:
                raise SettingError(f'{name}={value}: use 0 to {high}')
        self.gamma = gamma
        self.colour = colour
        self.rotation = rotation
        self.zoom = zoom

    def transform(self, results: dict) -> dict:
        """Replace ``results['imgs']``, RGB uint8 images of one size."""
        height, width = results['imgs'][0].shape[:2]
        tone = self._draw_tone()
        affine = self._draw_affine(height, width)
        results['imgs'] = [
            cv2.warpAffine(
                cv2.LUT(img, tone),
                affine,
                (width, height),
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REFLECT_101,
            )
            for img in results['imgs']
        ]
        return results

    def _draw_tone(self) -> np.ndarray:
        """A look-up table, ``(1, 256, 3)`` uint8."""
        gamma = np.exp(np.random.uniform(-self.gamma, self.gamma))
        gain = np.random.uniform(1 - self.colour, 1 + self.colour, size=3)
        levels = (np.arange(256) / 255) ** gamma
        table = 255 * levels[:, None] * gain
        return table.clip(0, 255).round().astype(np.uint8)[None]

    def _draw_affine(self, height: int, width: int) -> np.ndarray:
        """Rotation and zoom about the centre, ``(2, 3)``."""
        angle = np.random.uniform(-self.rotation, self.rotation)
        scale = np.exp(np.random.uniform(-self.zoom, self.zoom))
        centre = (width - 1) / 2, (height - 1) / 2
        return cv2.getRotationMatrix2D(centre, angle, scale)
