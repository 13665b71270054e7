"""The LSTM over the features of frames: the head of "R50+lstm".

Shapes: N clips of T frames; features are ``(N*T, C, H, W)``, the frame index
fastest, as MMAction2's ``Recognizer2D`` hands them over.
"""

from mmaction.registry import MODELS
from torch import Tensor, nn

from .forgery_head import NUM_CLASSES, ForgeryHead


@MODELS.register_module()
class LSTMHead(ForgeryHead):
    """Frames averaged over space, an LSTM over time, a linear classifier.

    The classifier reads the LSTM's state after the last frame, so a clip has
    one score. One sample is one clip: ``num_segs`` is its T.

    Paper: names R50+LSTM as DeeperForensics does, of whose detectors no code
    is public. One layer of 512 units is what a public re-implementation
    (CatoGit's comparison of deepfake detectors) has; it also reduces the
    features to 128 channels first, by its own account an addition, which is
    left out. The dropout is that of the host's other video heads.

    Args:
        in_channels: Channels of the features.
        hidden: Units of the LSTM.
        dropout_ratio: Of the dropout before the classifier.
        loss_cls: Config of the classification loss, cross-entropy by default.
        label_smooth_eps: Of the labels, in [0, 1).
        init_cfg: MMEngine's initialisation config.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int = 512,
        dropout_ratio: float = 0.5,
        loss_cls: dict | None = None,
        label_smooth_eps: float = 0.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(in_channels, loss_cls, label_smooth_eps, init_cfg)
        self.lstm = nn.LSTM(in_channels, hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout_ratio)
        self.fc_cls = nn.Linear(hidden, NUM_CLASSES)

    def forward(self, feats: Tensor, num_segs: int, **_: object) -> Tensor:
        """Logits of clips: ``(N*T, C, H, W)`` -> ``(N, 2)``, float32."""
        frames = feats.mean(dim=(2, 3)).unflatten(0, (-1, num_segs))
        states, _ = self.lstm(frames)
        return self.fc_cls(self.dropout(states[:, -1])).float()
