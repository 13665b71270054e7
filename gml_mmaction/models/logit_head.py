"""The head of a network that ends in logits itself.

Shapes: N clips of T frames. Class 0 is real, class 1 is fake.
"""

import torch
from mmaction.registry import MODELS
from torch import Tensor

from gml_mmaction.errors import SettingError

from .forgery_head import NUM_CLASSES, ForgeryHead


@MODELS.register_module()
class LogitHead(ForgeryHead):
    """Loss and scores of logits, as the backbone gives them.

    The backbone gives ``(N, 2)``, real and fake; or ``(N, 1)`` or ``(N,)``,
    the log-odds of fake. Logits of frames, ``(N*T, ...)`` in the host's
    ``Recognizer2D``, are averaged over a clip.

    Args:
        loss_cls: Config of the classification loss, cross-entropy by default.
        label_smooth_eps: Label smoothing, in [0, 1).
        init_cfg: MMEngine's initialisation config.

    Raises:
        SettingError: The backbone gives something else.
    """

    def __init__(
        self,
        loss_cls: dict | None = None,
        label_smooth_eps: float = 0.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(NUM_CLASSES, loss_cls, label_smooth_eps, init_cfg)

    def forward(
        self, feats: Tensor, num_segs: int | None = None, **_: object
    ) -> Tensor:
        """Logits of clips, ``(N, 2)``, float32."""
        if not isinstance(feats, Tensor):
            raise _refusal(f'a {type(feats).__name__}')
        logits = feats[:, None] if feats.dim() == 1 else feats
        if logits.dim() != 2 or logits.shape[1] > NUM_CLASSES:
            raise _refusal(str(tuple(feats.shape)))
        if logits.shape[1] == 1:
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        if num_segs is not None:
            logits = logits.unflatten(0, (-1, num_segs)).mean(dim=1)
        return logits.float()


def _refusal(given: str) -> SettingError:
    return SettingError(
        "model.cls_head.type='LogitHead': takes logits, (N, 2) or (N, 1); "
        f'the backbone gives {given}. Remedy: I3DHead for maps '
        '(N, C, T, H, W), TimeSformerHead for vectors (N, C)'
    )
