"""Attention as several detectors have it: pre-norm layers over tokens.

Shapes: ``(..., n, C)``, n tokens of C channels; axes before them are apart.
"""

from torch import Tensor, nn

__all__ = ['FeedForward', 'SelfAttention', 'TransformerLayer']


class SelfAttention(nn.Module):
    """Multi-head attention of tokens to each other (1706.03762).

    Args:
        dim: C.
        heads: Number of heads.
        head_dim: Channels of a head.
        dropout: Behind the last projection.
    """

    def __init__(
        self, dim: int, heads: int, head_dim: int = 64, dropout: float = 0.0
    ) -> None:
        super().__init__()
        inner = heads * head_dim
        self.heads = heads
        self.to_qk = nn.Linear(dim, 2 * inner, bias=False)
        self.to_v = nn.Linear(dim, inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, dim), nn.Dropout(dropout))

    def forward(self, x: Tensor, compared: Tensor | None = None) -> Tensor:
        """Attend; ``compared`` gives queries and keys in the place of x."""
        compared = x if compared is None else compared
        q, k = map(self.split, self.to_qk(compared).chunk(2, dim=-1))
        v = self.split(self.to_v(x))  # (..., heads, n, head_dim)
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        out = scores.softmax(dim=-1) @ v
        return self.to_out(out.transpose(-3, -2).flatten(-2))

    def split(self, x: Tensor) -> Tensor:
        """``(..., n, heads * d)`` -> ``(..., heads, n, d)``."""
        return x.unflatten(-1, (self.heads, -1)).transpose(-3, -2)


class FeedForward(nn.Sequential):
    """Two linear layers, GELU between them.

    Args:
        dim: C.
        hidden: Units between them.
        dropout: Behind each.
    """

    def __init__(self, dim: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__(
            nn.Linear(dim, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, dim),
            nn.Dropout(dropout),
        )


class TransformerLayer(nn.Module):
    """Attention and feed-forward, each normalised before and added.

    Args:
        dim: C.
        heads: Of 64 channels each.
        hidden: Units of the feed-forward.
        dropout: Behind each projection.
    """

    def __init__(
        self, dim: int, heads: int, hidden: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, heads, dropout=dropout)
        self.norm2 = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim, hidden, dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.feed_forward(self.norm2(x))
