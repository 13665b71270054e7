"""What a detector sees: the forgery clue and the features of motion.

Maps are means over channels of absolute values, 0 or above, in units of the
features: what is large in one clip is comparable with another clip of the
same network.

Shapes: N clips of T frames, maps of h x w.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from gml_mmaction.errors import GMLError
from gml_mmaction.models import CMM, CSTM

__all__ = ['FeatureError', 'clue_maps', 'feature_maps', 'has_clue']


COLUMNS = ('cstm', 'motion', 'consistency', 'clue')


class FeatureError(GMLError, LookupError):
    """A network that lacks the features asked for."""


def has_clue(model: BaseModel) -> bool:
    """Whether a detector has an AD head, hence a forgery clue F*."""
    head = getattr(model, 'cls_head', None)
    return getattr(head, 'ad_head', None) is not None


def clue_maps(model: BaseModel, data: dict) -> tuple[Tensor, Tensor]:
    """P(fake) and the forgery clue F* of clips, from one forward pass.

    The clue of a frame is the mean over channels of ``|F*|``, the output of
    the AD block (Sec. 2.3), which training holds near zero on real clips. The
    model is left in evaluation mode.

    Paper: Fig. 3 shows "forgery clue" as a heat map and does not say how
    channels become one; the L1 loss is of absolute values, so the mean of
    them is what is shown.

    Args:
        model: A detector with an AD head (:func:`has_clue`).
        data: ``dict(inputs, data_samples)`` as pipelines pack it and
            ``model.test_step`` takes it, one clip a sample.

    Returns:
        Scores ``(N,)``, 0 to 1, and maps ``(N, T, h, w)``, both float32 and
        on the device of the model.
    """
    with _outputs(model, clue=model.cls_head.ad_head.ad_block) as seen:
        scores = _predict(model, data)
    return scores, seen['clue'].float().abs().mean(dim=2)


def feature_maps(
    model: BaseModel, data: dict, *, stage: str | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """P(fake) and the features of Fig. 3 of clips, from one forward pass.

    Paper: Fig. 3 shows heat maps of "CSTM", "motion of MCM", "consistency of
    MCM" and "forgery clue", and says neither of which of the 34 blocks nor
    how channels become one. We take F^S, F^M (Eq. 1), F^MM (Eq. 2) and F*,
    before the expansion and the sum, each as the mean over channels of its
    absolute values; the motion block is the last one of the stage whose
    output F_out the AD block reads, so that all maps are of one depth.

    Args:
        model: A detector with motion blocks or an AD head.
        data: As for :func:`clue_maps`.
        stage: Of the backbone, ``'block1'`` to ``'block12'``, ``'conv3'`` or
            ``'conv4'``, whose last motion block is shown; that of F_out if
            None.

    Returns:
        Scores ``(N,)`` and maps ``(N, T, h, w)``, those of ``'cstm'``,
        ``'motion'``, ``'consistency'`` and ``'clue'`` that the network has,
        in this order; all float32.

    Raises:
        FeatureError: The network has no such map, or no motion block in the
            stage.
    """
    modules = _motion_modules(model, stage)
    if has_clue(model):
        modules['clue'] = model.cls_head.ad_head.ad_block
    if not modules:
        raise FeatureError(
            'the network has neither motion blocks nor an AD block: '
            'Remedy: gml cam, which explains any network'
        )
    with _outputs(model, **modules) as seen:
        scores = _predict(model, data)
    features = (
        seen.get('cstm'),
        *(*seen.get('motion', ()), None, None)[:2],
        seen['clue'].flatten(0, 1) if 'clue' in seen else None,
    )
    return scores, {
        name: x.float().abs().mean(dim=1).unflatten(0, (len(scores), -1))
        for name, x in zip(COLUMNS, features, strict=True)
        if x is not None
    }


def _motion_modules(
    model: BaseModel, stage: str | None
) -> dict[str, nn.Module]:
    """The last CSTM and the last CMM or MCM of a stage, if there are any."""
    name = stage or getattr(model.backbone, 'tap', None)
    part = getattr(model.backbone, name or '', None)
    if stage is not None and part is None:
        raise FeatureError(
            f'the backbone has no stage {stage!r}. Remedy: a name of '
            f'{", ".join(dict(model.backbone.named_children()))}'
        )
    found: dict[str, nn.Module] = {
        key: module
        for module in (part.modules() if part is not None else ())
        for key, kind in (('cstm', CSTM), ('motion', CMM))
        if isinstance(module, kind)
    }
    if stage is not None and not found:
        raise FeatureError(
            f'stage {stage!r} has no motion block. Remedy: another stage, or '
            'a backbone with motion_block'
        )
    return found


@torch.no_grad()
def _predict(model: BaseModel, data: dict) -> Tensor:
    """P(fake) of each sample, ``(N,)``, float32."""
    model.eval()
    samples = model.test_step(data)
    return torch.stack([sample.pred_score[1] for sample in samples]).float()


@contextmanager
def _outputs(
    model: BaseModel, **modules: nn.Module
) -> Iterator[dict[str, Any]]:
    """Hold what modules give during the ``with`` block, by name."""
    seen: dict[str, Any] = {}

    def keep(name: str) -> Any:
        def hook(_: nn.Module, __: tuple, output: Any) -> None:
            seen[name] = output

        return hook

    handles = [
        module.register_forward_hook(keep(name))
        for name, module in modules.items()
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
