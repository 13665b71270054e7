"""Attention that starts as attention that has learned: it takes a mean off.

Shapes: a layer's tokens are ``(n, C)``; weights are those of ``x @ W.T``.
"""

from typing import Any

import torch
from mmaction.models.common import DividedTemporalAttentionWithNorm
from torch import Tensor, nn

from gml_mmaction.errors import SettingError

from .istvt import DecomposedLayer

__all__ = ['mimic']

# How much of each product is noise, and how much plus or minus the identity.
COMPARED = 0.1, 0.1
GATHERED = 0.05, -0.9
# Of a layer that attends over time, then over space, and adds once.
AS_IT_IS = 0.1, 1.0
FIRST = 0.05, 0.9


def mimic(network: nn.Module, generator: torch.Generator) -> list[Tensor]:
    """Let a network's layers of attention start as learned ones look.

    Learned attention compares tokens by a product of weights that is near the
    identity, and gives back one that is near minus the identity: what tokens
    have in common is taken off them. From random values a network has to find
    that first. After Trockman & Kolter, "Mimetic initialization of
    self-attention layers" (2305.09828): each head's queries times keys are
    ``0.1 Z + 0.1 I``, the values times the projection ``0.05 Z - 0.9 I``, Z
    normal with variance 1 / C. Theirs are 0.7, 0.7, 0.4 and -0.4, for classes
    of pictures. What moves is a hundredth of a face's variance: so the mean
    that is taken off has to be even over the frames, and nearly all of it.

    TimeSformer's ``temporal_fc``, which starts at zero and so keeps time out,
    becomes the identity. ISTVT's layers pass what they gather over time to the
    attention over space before they add it: the first has plus the identity,
    the second minus, and both compare tokens by ``0.1 Z + I``, as each is to
    find its own place.

    Args:
        network: Changed in place: PyTorch's ``MultiheadAttention``,
            MMAction2's layers with one ``qkv`` and a ``proj`` (Swin, ViT), and
            ISTVT's.
        generator: Of Z.

    Returns:
        The tensors that were set.

    Raises:
        SettingError: The network has no such layer.
    """
    changed: list[Tensor] = []
    for layer in network.modules():
        if isinstance(layer, DividedTemporalAttentionWithNorm):
            changed.append(nn.init.eye_(layer.temporal_fc.weight))
        elif isinstance(layer, DecomposedLayer):
            for one, gathered in (
                (layer.over_time, FIRST),
                (layer.over_space, GATHERED),
            ):
                changed += _start(
                    one.to_qk.weight,
                    one.to_v.weight,
                    one.to_out.get_parameter('0.weight'),
                    one.heads,
                    AS_IT_IS,
                    gathered,
                    generator,
                )
        elif found := _weights(layer):
            heads, before, after = found
            compared = before[: 2 * len(after)], before[2 * len(after) :]
            _start(*compared, after, heads, COMPARED, GATHERED, generator)
            changed += [before, after]
    if not changed:
        raise SettingError(
            f'{type(network).__name__} has no layers of attention that could '
            'start as learned ones. Remedy: leave out MimeticStartHook'
        )
    return changed


def _weights(layer: Any) -> tuple[int, Tensor, Tensor] | None:
    """The heads of a layer of attention, its weights before it and after.

    None if it is none, or if queries, keys, values and tokens differ in their
    number of channels.
    """
    names = 'qkv.weight', 'proj.weight'
    if isinstance(layer, nn.MultiheadAttention):
        names = 'in_proj_weight', 'out_proj.weight'
    own = dict(layer.named_parameters())
    before, after = (own.get(name) for name in names)
    if before is None or after is None or not hasattr(layer, 'num_heads'):
        return None
    channels = len(after)
    if before.shape != (3 * channels, channels) or after.dim() != 2:
        return None
    return layer.num_heads, before, after


@torch.no_grad()
def _start(
    queries_keys: Tensor,
    values: Tensor,
    projection: Tensor,
    heads: int,
    compared: tuple[float, float],
    gathered: tuple[float, float],
    generator: torch.Generator,
) -> list[Tensor]:
    """Set a layer: ``(2 D, C)``, ``(D, C)``, ``(C, D)``, D of all heads.

    Of a product of lower rank than C the largest parts are kept.
    """
    inner, channels = values.shape
    if inner > channels:
        raise SettingError(
            f'attention of {heads} heads with {inner} channels over tokens of '
            f'{channels}: MimeticStartHook knows no more than the tokens have'
        )
    of_head = inner // heads
    queries, keys = [], []
    for _ in range(heads):
        left, right = _factors(channels, *compared, generator)
        queries.append(left[:, :of_head].T)
        keys.append(right[:, :of_head].T)
    queries_keys.copy_(torch.cat([*queries, *keys]))
    left, right = _factors(channels, *gathered, generator)
    # x @ values.T @ projection.T is x @ left @ right.T
    values.copy_(left[:, :inner].T)
    projection.copy_(right[:, :inner])
    return [queries_keys, values, projection]


def _factors(
    channels: int, noise: float, identity: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A and B of ``A @ B.T = noise Z + identity I``, the largest parts first.

    Returns:
        Two of ``(C, C)``, float64, columns of one length in both.
    """
    z = torch.randn(
        channels, channels, generator=generator, dtype=torch.float64
    )
    product = noise * z / channels**0.5 + identity * torch.eye(channels)
    left, sizes, right = torch.linalg.svd(product)
    return left * sizes.sqrt(), right.T * sizes.sqrt()
