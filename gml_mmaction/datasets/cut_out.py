"""CutOut through a clip: one place is hidden in all of its frames."""

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from gml_mmaction.errors import SettingError

__all__ = ['CutOut']


@TRANSFORMS.register_module()
class CutOut(BaseTransform):
    """Hide a square at one random place of all frames, as TALL does.

    Its centre is anywhere in the frame, so that less than the square may be
    hidden at a border.

    TALL's public training hides 16 of 112 pixels, in the mean colour, in
    every clip.

    Args:
        size: Side of the square, pixels.
        fill: Its colour, RGB; the mean of ImageNet.

    Raises:
        SettingError: ``size`` is below 1.
    """

    def __init__(
        self, size: int = 16, fill: tuple[int, int, int] = (124, 116, 104)
    ) -> None:
        if size < 1:
            raise SettingError(f'size={size}: use 1 or more pixels')
        self.size = size
        self.fill = fill

    def transform(self, results: dict) -> dict:
        """Replace ``results['imgs']``, RGB uint8 images of one size."""
        height, width = results['imgs'][0].shape[:2]
        y, x = np.random.randint(height), np.random.randint(width)
        top, left = y - self.size // 2, x - self.size // 2
        rows = slice(max(top, 0), max(top + self.size, 0))
        columns = slice(max(left, 0), max(left + self.size, 0))
        results['imgs'] = [np.array(img) for img in results['imgs']]
        for img in results['imgs']:
            img[rows, columns] = self.fill
        return results
