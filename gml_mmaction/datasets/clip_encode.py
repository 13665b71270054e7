"""What happens to a clip on its way: another size, noise, JPEG, H.264."""

from typing import Any

import cv2
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from gml_mmaction.errors import SettingError
from gml_mmaction.video.distortions import compress

__all__ = ['RandomEncode']


@TRANSFORMS.register_module()
class RandomEncode(BaseTransform):
    """Random size, noise, JPEG and H.264, each drawn once for a clip.

    In this order, each with its probability: scaled down and back up;
    Gaussian noise; each frame through JPEG; the clip through x264
    (``veryfast``, PyAV). Behind ``FaceCrop``.

    Paper: silent on augmentation; off unless a config asks for it. JPEG's
    range is SBI's (CVPR 2022); the others are our choice, crf 23 being x264's
    default and c23's.

    Args:
        size: Smallest and largest share of the side kept.
        noise: Largest standard deviation, grey levels.
        jpeg: Lowest and highest quality, 1 to 100.
        crf: x264's lowest and highest constant rate factor, 0 to 51.
        p_size: Probability of scaling.
        p_noise: Of noise.
        p_jpeg: Of JPEG.
        p_h264: Of H.264.

    Raises:
        SettingError: One is out of its bounds.
    """

    def __init__(
        self,
        size: tuple[float, float] = (0.5, 1.0),
        noise: float = 4.0,
        jpeg: tuple[int, int] = (40, 100),
        crf: tuple[int, int] = (18, 32),
        p_size: float = 0.3,
        p_noise: float = 0.3,
        p_jpeg: float = 0.5,
        p_h264: float = 0.3,
    ) -> None:
        bounds = dict(size=(size, 0.01, 1), jpeg=(jpeg, 1, 100))
        bounds.update(crf=(crf, 0, 51), noise=((0, noise), 0, 255))
        for name, (pair, low, high) in bounds.items():
            if not low <= pair[0] <= pair[1] <= high:
                raise SettingError(
                    f'{name}={pair}: use {low} to {high}, ascending'
                )
        chances = dict(p_size=p_size, p_noise=p_noise)
        chances.update(p_jpeg=p_jpeg, p_h264=p_h264)
        for name, p in chances.items():
            if not 0 <= p <= 1:
                raise SettingError(f'{name}={p}: use 0 to 1')
        self.size, self.noise, self.jpeg, self.crf = size, noise, jpeg, crf
        self.chances = tuple(chances.values())

    def transform(self, results: dict) -> dict:
        """Replace ``results['imgs']``, RGB uint8 images of one size."""
        share = np.random.uniform(*self.size)
        sigma = np.random.uniform(0, self.noise)
        quality = np.random.randint(self.jpeg[0], self.jpeg[1] + 1)
        crf = np.random.randint(self.crf[0], self.crf[1] + 1)
        # of its own: the frames' size does not move the draws that follow
        noise_seed = np.random.randint(2**31)
        scaled, noisy, jpeg, h264 = np.random.rand(4) < self.chances
        imgs = results['imgs']
        if scaled:
            imgs = [_scaled(img, share) for img in imgs]
        if noisy:
            rng = np.random.default_rng(noise_seed)
            imgs = [_noisy(img, sigma, rng) for img in imgs]
        if jpeg:
            imgs = [_through_jpeg(img, quality) for img in imgs]
        if h264:
            imgs = [*compress(imgs, crf, fps=25, preset='veryfast')]
        results['imgs'] = imgs
        return results


def _scaled(img: np.ndarray, share: float) -> np.ndarray:
    height, width = img.shape[:2]
    small = max(1, round(share * width)), max(1, round(share * height))
    img = cv2.resize(img, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(img, (width, height), interpolation=cv2.INTER_LINEAR)


def _noisy(
    img: np.ndarray, sigma: float, rng: np.random.Generator
) -> np.ndarray:
    noise = sigma * rng.standard_normal(img.shape, np.float32)
    return (img + noise).round().clip(0, 255).astype(np.uint8)


def _through_jpeg(img: np.ndarray, quality: int) -> np.ndarray:
    flags = [cv2.IMWRITE_JPEG_QUALITY, int(quality)]
    _, data = cv2.imencode('.jpg', img[..., ::-1], flags)
    decoded: Any = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
