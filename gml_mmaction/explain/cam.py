"""Class-activation maps: which places of a clip speak for a forgery.

Grad-CAM (1610.02391) by MMAction2's own class, which is made to work here
with every detector. Unchanged (MMAction2 1.2.0,
``mmaction/utils/gradcam_utils.py``) it

- explains the class that scores highest, or the label, but not "fake";
- reads NCTHW of ``Recognizer3D`` and NCHW of ``Recognizer2D``, while our
  frame-wise detectors read NCTHW, and GML is 4-D inside;
- takes ``pred_score`` for a class score, which GML's is not: a probability
  that has reached 1 has no gradient left, and the map is empty;
- leaves ``average_clips='score'`` behind, after which the same model gives
  logits for scores; it leaves its hooks and gradients behind too;
- uses ``register_backward_hook``, which PyTorch has deprecated.

Shapes: N clips of T frames; inside, volumes are ``(N, C, T', h, w)``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmaction.utils import GradCAM
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn import functional as F

from gml_mmaction.errors import GMLError
from gml_mmaction.models import TALL, ADBlock, Xception
from gml_mmaction.models.tall import take_apart

from .feature_maps import has_clue

__all__ = ['ForgeryCAM', 'LayerError', 'cam_maps', 'default_layer']

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)


class LayerError(GMLError, LookupError):
    """A layer that a network lacks, or that gives no map."""


def cam_maps(
    model: BaseModel, data: dict, *, layer: str | None = None
) -> tuple[Tensor, Tensor]:
    """P(fake) and Grad-CAM of the class fake, for clips.

    Where nothing speaks for a forgery, a map is zero everywhere. The model is
    left in evaluation mode and otherwise as it was.

    Args:
        model: Any detector.
        data: ``dict(inputs, data_samples)`` as pipelines pack it and
            ``model.test_step`` takes it, one clip a sample.
        layer: Name of a module, as in ``'backbone/block12'``, whose output is
            explained; :func:`default_layer` if None.

    Returns:
        Scores ``(N,)``, 0 to 1, and maps ``(N, T, h, w)``, 0 or above, of the
        layer's height and width, both float32. Where the layer has fewer
        time steps than T, maps are interpolated.

    Raises:
        LayerError: The layer is missing, it gives no map, or the score does
            not depend on it.
    """
    return ForgeryCAM(model, layer).explain(data)


def default_layer(model: BaseModel) -> str:
    """Name of the last feature map that the whole score is computed from.

    It is the backbone's output (a transformer that gives a token has none),
    or, where the backbone ends in fully
    connected layers (C3D), the last convolution before them. With an AD head
    it is F_out, where the two classifiers part. Multi-attentional's head
    looks at shallower features as well; they are left out.
    """
    if has_clue(model):
        return f'backbone/{model.backbone.tap}'
    children = dict(model.backbone.named_children())
    if not any(isinstance(child, nn.Linear) for child in children.values()):
        return 'backbone'
    convolutional = [
        name
        for name, child in children.items()
        if any(isinstance(part, CONVOLUTIONS) for part in child.modules())
    ]
    return f'backbone/{convolutional[-1]}'


class ForgeryCAM(GradCAM):
    """The host's Grad-CAM for the class fake of our detectors.

    Called with packed data, it gives the clips' frames under their maps,
    ``(N, T, H, W, 3)`` RGB in [0, 1], and scores, ``(N,)``.

    What is differentiated is the log-odds of fake, log P(fake) - log P(real),
    averaged over a clip's frames where a head scores frames. Of two classes
    only this difference of the scores before the softmax means anything, and
    its gradient does not vanish where the network is sure. Weights are means
    over space, for each time step apart, as the host has them.

    Args:
        model: Any detector; it is put into evaluation mode.
        layer: See :func:`cam_maps`.
        colormap: Name of a Matplotlib colour map.

    Raises:
        LayerError: The layer does not exist.
    """

    def __init__(
        self,
        model: BaseModel,
        layer: str | None = None,
        colormap: str = 'viridis',
    ) -> None:
        self.name = layer or default_layer(model)
        super().__init__(model, self.name, colormap)
        self.is_recognizer2d = False  # packed clips are NCTHW for all of them

    def _register_hooks(self, layer_name: str) -> None:
        """Find the layer; hooks are there while it is explained only."""
        try:
            self.layer = self.model.get_submodule(layer_name.replace('/', '.'))
        except AttributeError as error:
            raise LayerError(
                f'layer {layer_name!r}: {error}. Remedy: a layer such as '
                f'{default_layer(self.model)!r}'
            ) from None

    @torch.enable_grad()
    def explain(self, data: dict) -> tuple[Tensor, Tensor]:
        """See :func:`cam_maps`."""
        with self._traced() as traced:
            samples = self.model.test_step(data)
        if 'map' not in traced:
            raise LayerError(
                f'layer {self.name!r} is not run in testing. Remedy: another '
                'layer'
            )
        leaf, clips = traced['map'], len(samples)
        evidence = traced['odds'].unflatten(0, (clips, -1)).mean(dim=1).sum()
        gradient = self._gradient(evidence, leaf)
        volume = self._volume(leaf.detach(), clips)
        weights = self._volume(gradient, clips).mean(dim=(3, 4), keepdim=True)
        maps = (weights * volume).sum(dim=1, keepdim=True).relu().float()
        if isinstance(self.model.backbone, TALL):
            maps = frames_of(maps, self.model.backbone.grid)
        size = (data['inputs'][0].shape[2], *maps.shape[3:])
        maps = F.interpolate(maps, size, mode='trilinear')[:, 0]
        scores = torch.stack([sample.pred_score[1] for sample in samples])
        return scores.detach().float(), maps

    @contextmanager
    def _traced(self) -> Iterator[dict[str, Tensor]]:
        """Record the layer's map, where the graph begins, and the log-odds.

        Parameters need no gradient meanwhile. LSTMs are in training mode,
        without which cuDNN refuses their gradient; they have no dropout.
        """
        traced: dict[str, Tensor] = {}

        def begin(_: nn.Module, __: tuple, output: Any) -> Any:
            found = self._last_map(output)
            traced['map'] = found.detach().requires_grad_()
            copy = traced['map'].clone()  # what follows may change it
            if isinstance(output, Tensor):
                return copy
            return tuple(copy if part is found else part for part in output)

        def end(head: nn.Module, _: tuple, output: Tensor) -> None:
            traced['odds'] = log_odds(head, output)

        model = self.model.eval()
        trained = [p for p in model.parameters() if p.requires_grad]
        lstms = [m for m in model.modules() if isinstance(m, nn.RNNBase)]
        hooks = [
            self.layer.register_forward_hook(begin),
            model.cls_head.register_forward_hook(end),
        ]
        try:
            for parameter in trained:
                parameter.requires_grad_(False)
            for lstm in lstms:
                lstm.train()
            yield traced
        finally:
            for hook in hooks:
                hook.remove()
            for parameter in trained:
                parameter.requires_grad_(True)
            model.eval()

    def _last_map(self, output: Any) -> Tensor:
        """The coarsest map of an output: the last of several stages'."""
        parts = (output,) if isinstance(output, Tensor) else output
        maps = [part for part in parts if part.dim() >= 4]
        if not maps:
            raise LayerError(
                f'layer {self.name!r} gives no map, only {_shapes(parts)}. '
                'Remedy: a layer whose output is a map'
            )
        return min(maps, key=lambda part: part.shape[-2:].numel())

    def _gradient(self, evidence: Tensor, leaf: Tensor) -> Tensor:
        if evidence.requires_grad:
            (gradient,) = torch.autograd.grad(
                evidence, leaf, allow_unused=True
            )
            if gradient is not None:
                return gradient
        raise LayerError(
            f'the score does not depend on layer {self.name!r}. Remedy: '
            'another layer'
        )

    def _volume(self, x: Tensor, clips: int) -> Tensor:
        """A layer's map as ``(N, C, T', h, w)``, whatever its layout."""
        if x.dim() == 4:  # frames are folded into the batch
            x = x.unflatten(0, (clips, -1))
        elif not frames_first(self.layer):
            return x
        return x.transpose(1, 2)

    def _calculate_localization_map(
        self, data: dict, use_labels: bool = False, delta: float = 1e-20
    ) -> tuple[Tensor, Tensor]:
        """Maps of the images' size, as shares of their clip's maximum."""
        scores, maps = self.explain(data)
        size = data['inputs'][0].shape[-2:]
        maps = F.interpolate(maps, size, mode='bilinear')
        return maps / (maps.amax(dim=(1, 2, 3), keepdim=True) + delta), scores


def frames_first(layer: nn.Module) -> bool:
    """Whether a layer's volumes are ``(N, T, C, h, w)``."""
    if isinstance(layer, Xception):
        return layer.tap is not None
    return isinstance(layer, ADBlock)


def frames_of(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """Cut the map of a picture of frames into theirs.

    Args:
        maps: ``(N, 1, 1, h, w)``.
        grid: Rows and columns of frames in the picture.

    Returns:
        ``(N, 1, T, h, w)``.
    """
    rows, columns = grid
    size = rows * maps.shape[3], columns * maps.shape[4]
    larger = F.interpolate(maps[:, :, 0], size, mode='bilinear')
    return take_apart(larger, rows, columns)


def _shapes(parts: Any) -> str:
    return ', '.join(str(tuple(part.shape)) for part in parts)


def log_odds(head: nn.Module, output: Tensor) -> Tensor:
    """Log-odds of fake, from what a head gives, ``(M, 2)`` -> ``(M,)``.

    A head whose predictions are averaged as ``'prob'`` gives logits, others
    give probabilities.
    """
    if head.average_clips != 'prob':
        output = output.clamp(min=torch.finfo(output.dtype).tiny).log()
    return output[:, 1] - output[:, 0]
