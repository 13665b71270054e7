"""Whether a head can read what its backbone gives."""

from typing import Any

from torch import Tensor, nn

from gml_mmaction.errors import SettingError

__all__ = ['watch_features']

MAP = 'a map (N, C, T, H, W)'
FRAMES = 'a map of each frame (N*T, C, H, W)'
VECTOR = 'a vector (N, C)'
# What heads take: the number of axes, in words.
TAKES = {
    **dict.fromkeys(('I3DHead', 'X3DHead'), (5, MAP)),
    **dict.fromkeys(('TimeTransformerHead', 'ISTVTHead'), (5, MAP)),
    **dict.fromkeys(('TSNHead', 'TSMHead'), (4, FRAMES)),
    **dict.fromkeys(('FrameHead', 'LSTMHead'), (4, FRAMES)),
    'TimeSformerHead': (2, VECTOR),
}
REMEDY = (
    f'Remedy: for {VECTOR} TimeSformerHead; for {MAP} I3DHead; for {FRAMES}, '
    'of a Recognizer2D, FrameHead; for logits (N, 2) LogitHead'
)


def watch_features(model: Any) -> None:
    """Check the first features that the backbone gives, in one line.

    Args:
        model: A recognizer, maybe in a wrapper for several processes; heads
            that :data:`TAKES` does not know are left alone.
    """
    model = getattr(model, 'module', model)
    backbone = getattr(model, 'backbone', None)
    head = getattr(model, 'cls_head', None)
    if not isinstance(backbone, nn.Module) or getattr(model, 'neck', None):
        return

    def check(_: nn.Module, __: Any, features: Any) -> None:
        hook.remove()
        check_features(head, features)

    hook = backbone.register_forward_hook(check)


def check_features(head: Any, features: Any) -> None:
    """Refuse features of another kind than the head takes.

    Raises:
        SettingError: They have another number of axes, or are several.
    """
    kind = type(head).__name__
    if kind == 'GMLHead':
        check_pair(features)
        return
    if kind not in TAKES:
        return
    axes, words = TAKES[kind]
    if axes == 5 and getattr(head, 'spatial_type', 'avg') is None:
        axes, words = 2, VECTOR  # the host's I3DHead without its pooling
    if not isinstance(features, Tensor) or features.dim() != axes:
        raise SettingError(
            f'model.cls_head.type={kind!r}: takes {words}; the backbone gives '
            f'{shapes_of(features)}. {REMEDY}'
        )


def check_pair(features: Any) -> None:
    """Refuse what GML's head cannot read; of a single map it says so itself.

    Raises:
        SettingError: It is neither one map nor two.
    """
    parts = features if isinstance(features, tuple) else (features,)
    maps = all(isinstance(p, Tensor) and p.dim() >= 4 for p in parts)
    if len(parts) > 2 or not maps:
        raise SettingError(
            "model.cls_head.type='GMLHead': takes F_out and the last features "
            'of Xception, (N, T, C, H, W) each; the backbone gives '
            f'{shapes_of(features)}. {REMEDY}'
        )


def shapes_of(features: Any) -> str:
    """The shapes of a tensor or of several, in words."""
    if isinstance(features, Tensor):
        return str(tuple(features.shape))
    if isinstance(features, (tuple, list)):
        return f'{len(features)}: {"; ".join(map(shapes_of, features))}'
    return type(features).__name__
