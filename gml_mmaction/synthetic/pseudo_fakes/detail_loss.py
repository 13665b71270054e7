"""Lost detail: what the network of a swap does to a face."""

import cv2
import numpy as np
from mmaction.registry import TRANSFORMS

from gml_mmaction.errors import SettingError

from .family import Face, Forgery, PseudoFake, blend, blurred, soft_mask

__all__ = ['DetailLoss']

SIDE = 224  # of the crops for which the lengths below are given, pixels
PATCH = 8  # side of the linear autoencoder's patches, pixels


@TRANSFORMS.register_module()
class DetailLoss(PseudoFake):
    """The inner face as a network of low resolution would give it back.

    One way to lose detail a clip, the same in all frames: scaled down and up,
    blurred, or passed through a linear autoencoder, which keeps a few
    principal components of the clip's own 8 x 8 patches. Besides, at random,
    its colours are pulled to their mean, and each frame is mixed with those
    before it, as networks that work frame by frame are smoothed afterwards.

    Source: swapped faces have a lower resolution than what is around them
    (Y. Li, S. Lyu, "Exposing DeepFake Videos By Detecting Face Warping
    Artifacts" (FWA), CVPR Workshops 2019, arXiv 1811.00656). Constants: our
    choice.

    Args:
        factor: Scaled down by so much, smallest and largest.
        blur: Standard deviation in pixels of a crop of 224.
        components: Kept by the autoencoder, of 192.
        pull: Largest share by which colours go to their mean.
        smooth: Largest weight of the frames before.
    """

    def __init__(
        self,
        factor: tuple[float, float] = (1.5, 4.0),
        blur: tuple[float, float] = (0.7, 2.5),
        components: tuple[int, int] = (4, 16),
        pull: float = 0.3,
        smooth: float = 0.6,
    ) -> None:
        for name, value in (('pull', pull), ('smooth', smooth)):
            if not 0 <= value <= 1:
                raise SettingError(f'{name}={value}: use 0 to 1')
        if factor[0] < 1 or blur[0] <= 0 or components[0] < 1:
            raise SettingError(
                f'factor={factor}, blur={blur}, components={components}: use '
                '1 or more, more than 0, 1 or more'
            )
        self.factor, self.blur, self.components = factor, blur, components
        self.pull, self.smooth = pull, smooth

    def forge(
        self, clip: np.ndarray, face: Face, rng: np.random.Generator
    ) -> Forgery:
        """One draw, applied to each frame."""
        way = (self._scale, self._blur, self._encode)[rng.integers(3)]
        mask = soft_mask(
            face,
            clip.shape[1],
            grow=rng.uniform(0.85, 1.1),
            edge=rng.uniform(0.01, 0.04),
        )
        pull = rng.uniform(0, self.pull) * (rng.random() < 0.5)
        smooth = rng.uniform(0, self.smooth) * (rng.random() < 0.5)
        top = way(clip, rng)
        if pull:
            weights = mask[..., None] / mask.sum()
            mean = (top * weights).sum(axis=(0, 1, 2))
            top = top + pull * (mean - top)
        if smooth:
            top = _smoothed(top, smooth)
        return Forgery(clip, blend(clip, top, mask), mask)

    def _scale(self, clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        side = clip.shape[1]
        small = max(1, round(side / rng.uniform(*self.factor)))
        up = (cv2.INTER_LINEAR, cv2.INTER_CUBIC)[rng.integers(2)]
        return np.stack(
            [
                cv2.resize(
                    cv2.resize(
                        frame, (small, small), interpolation=cv2.INTER_AREA
                    ),
                    (side, side),
                    interpolation=up,
                )
                for frame in clip
            ]
        )

    def _blur(self, clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        sigma = rng.uniform(*self.blur) * clip.shape[1] / SIDE
        return np.stack([blurred(frame, sigma) for frame in clip])

    def _encode(
        self, clip: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        kept = int(rng.integers(self.components[0], self.components[1] + 1))
        return encode(clip, kept)


def encode(clip: np.ndarray, components: int) -> np.ndarray:
    """Pass a clip through a linear autoencoder of its own patches.

    Two grids of patches, half a patch apart, are averaged, so that no blocks
    are seen.

    Args:
        clip: ``(T, H, W, 3)`` uint8.
        components: Principal components kept, of 192.

    Returns:
        ``(T, H, W, 3)`` float32.
    """
    mean, basis = _principal(_patches(clip), components)
    half = PATCH // 2
    plain = _coded(clip, mean, basis)
    shifted = np.roll(clip, (-half, -half), axis=(1, 2))
    shifted = np.roll(_coded(shifted, mean, basis), (half, half), axis=(1, 2))
    return (plain + shifted) / 2


def _principal(
    patches: np.ndarray, components: int
) -> tuple[np.ndarray, np.ndarray]:
    flat = patches.reshape(-1, patches.shape[-1])
    mean = flat.mean(axis=0)
    centred = flat - mean
    _, vectors = np.linalg.eigh(centred.T @ centred)
    return mean, vectors[:, -components:]


def _patches(clip: np.ndarray) -> np.ndarray:
    """``(T, rows, columns, 192)`` float32; the rest at the edges is left."""
    length, height, width, _ = clip.shape
    rows, columns = height // PATCH, width // PATCH
    cut = clip[:, : rows * PATCH, : columns * PATCH].astype(np.float32)
    cut = cut.reshape(length, rows, PATCH, columns, PATCH, 3)
    return cut.swapaxes(2, 3).reshape(length, rows, columns, -1)


def _coded(
    clip: np.ndarray, mean: np.ndarray, basis: np.ndarray
) -> np.ndarray:
    patches = _patches(clip)
    length, rows, columns, _ = patches.shape
    coded = (patches - mean) @ basis @ basis.T + mean
    coded = coded.reshape(length, rows, columns, PATCH, PATCH, 3)
    coded = coded.swapaxes(2, 3)
    out = clip.astype(np.float32)
    out[:, : rows * PATCH, : columns * PATCH] = coded.reshape(
        length, rows * PATCH, columns * PATCH, 3
    )
    return out


def _smoothed(clip: np.ndarray, weight: float) -> np.ndarray:
    """Mix each frame with those before, whose weights fall by ``weight``."""
    frames = [clip[0].astype(np.float32)]
    for frame in clip[1:]:
        frames.append(weight * frames[-1] + (1 - weight) * frame)
    return np.stack(frames)
