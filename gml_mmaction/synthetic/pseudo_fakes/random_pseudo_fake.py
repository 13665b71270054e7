"""Some genuine clips of a training set become fakes."""

from collections.abc import Sequence

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from gml_mmaction.errors import SettingError

__all__ = ['RandomPseudoFake']


@TRANSFORMS.register_module()
class RandomPseudoFake(BaseTransform):
    """Turn a genuine clip into a pseudo-fake, with a probability.

    For sets that have fakes of their own: a step of ``train_pipeline``, behind
    ``FaceCrop``. Fakes stay as they are. (Genuine videos alone are trained on
    in pairs, by ``GenuineClipDataset``.)

    Source: Z. Wang et al., "AltFreezing for More General Video Face Forgery
    Detection", CVPR 2023, makes fakes of real clips by temporal dropout,
    temporal repeat and clip-level blending. Its probabilities are not known
    to us.

    Args:
        families: Settings of families, of which one is drawn, all alike:
            for AltFreezing ``TemporalDropout``, ``TemporalRepeat`` and
            ``SelfBlend``, which blends a clip with an altered copy of itself,
            one mask a clip.
        p: The probability, 0 to 1, for a genuine clip.

    Raises:
        SettingError: No families; ``p`` is out of its bounds.
    """

    def __init__(self, families: Sequence[dict], p: float = 0.25) -> None:
        if not families:
            raise SettingError(
                'families=[]: no fakes to make. Remedy: name one, such as '
                "dict(type='SelfBlend')"
            )
        if not 0 <= p <= 1:
            raise SettingError(f'p={p}: out of bounds. Remedy: 0 to 1')
        self.families = [TRANSFORMS.build(family) for family in families]
        self.p = p

    def transform(self, results: dict) -> dict:
        """Replace ``imgs``, ``label`` and ``method`` of a genuine clip."""
        chance = np.random.rand()
        number = np.random.randint(len(self.families))
        if results['label'] or chance >= self.p:
            return results
        results = self.families[number](results)
        del results['genuine'], results['mask']
        return results
