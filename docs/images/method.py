"""Draw docs/images/method.png: the parts of GML and how they are joined.

Usage::

    python docs/images/method.py
"""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

OUT = Path(__file__).with_suffix('.png')
DATA, BLOCK, LOSS = '#eeeeee', '#cfe3f5', '#fbe3c0'


def draw() -> Figure:
    """The network at the top, the motion consistency block below."""
    figure = Figure(figsize=(9, 6.6), facecolor='white')
    network, block = figure.subplots(
        2, 1, gridspec_kw={'height_ratios': [1.05, 1]}
    )
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.97, hspace=0.12)
    for axis, height in ((network, 4.6), (block, 4.4)):
        axis.set(xlim=(0, 12), ylim=(0, height))
        axis.axis('off')
    _network(network)
    _block(block)
    return figure


def _network(axis: Axes) -> None:
    _title(axis, 4.4, 'The network')
    _box(axis, 0.9, 3.2, 'clip of 8\nface crops', DATA)
    _box(
        axis,
        3.1,
        3.2,
        'Xception to block 5,\nMCBs for its depth-wise\nconvolutions',
        BLOCK,
        width=2.3,
    )
    _box(axis, 6.0, 3.2, 'the other blocks,\nwith MCBs too', BLOCK, width=1.8)
    _box(
        axis, 8.1, 3.2, 'mean over\nspace and time,\nlinear', BLOCK, width=1.6
    )
    _box(axis, 10.1, 3.2, 'P(fake)', DATA, width=1.1)
    _box(axis, 3.1, 1.1, 'AD block:\nnine residual\nblocks', BLOCK, width=1.9)
    _box(
        axis,
        6.0,
        1.1,
        'forgery clues $F^*$,\nas large as $F_{out}$',
        DATA,
        width=1.8,
    )
    _box(
        axis, 8.1, 1.1, 'mean over\nspace and time,\nlinear', BLOCK, width=1.6
    )
    _box(axis, 10.1, 1.1, 'P(fake)', DATA, width=1.1)
    _box(axis, 11.4, 2.15, 'score:\ntheir mean', DATA, width=1.1)
    _chain(axis, 3.2, (1.6, 1.95), (4.25, 5.1), (6.9, 7.3), (8.9, 9.55))
    _chain(axis, 1.1, (4.05, 5.1), (6.9, 7.3), (8.9, 9.55))
    _arrow(axis, (3.1, 2.65), (3.1, 1.65), '$F_{out}$')
    _arrow(axis, (10.7, 3.1), (11.3, 2.67))
    _arrow(axis, (10.7, 1.2), (11.3, 1.63))
    _loss(axis, 10.1, 4.1, 'cross-entropy $L_{cls1}$', 3.65)
    _loss(axis, 10.1, 0.2, 'cross-entropy $L_{cls2}$', 0.65)
    _loss(axis, 6.0, 0.2, '$L_{l1}$: clues of reals to zero (Eq. 3)', 0.65)


def _block(axis: Axes) -> None:
    _title(axis, 4.2, 'Motion Consistency Block (MCB), C channels, T frames')
    wide = {'width': 3.2, 'height': 0.7}
    _box(axis, 0.7, 2.2, '$F$', DATA, width=0.8)
    cstm = r'CSTM: channel-wise, 3 over time, then $3\times 3$ in space'
    _box(axis, 4.6, 3.5, cstm, BLOCK, width=5.2, height=0.6)
    one = r'$1\times 1\times 1$'
    _box(axis, 2.3, 1.5, f'reduce:\n{one},\nC to C/16', BLOCK, width=1.2)
    first = r'$F^M_t = F^D_t - (K^{PM}\ast F^D)_{t-1}$   (Eq. 1)'
    second = r'$F^{MM}_t = F^M_t - (K^{PM}\ast F^M)_{t-1}$   (Eq. 2)'
    _box(axis, 4.9, 1.9, first, BLOCK, **wide)
    _box(axis, 4.9, 0.8, second, BLOCK, **wide)
    _box(axis, 8.7, 1.5, f'expand:\n{one},\nC/16 to C', BLOCK, width=1.2)
    _box(axis, 10.2, 2.2, '+', DATA, width=0.6, height=0.6)
    _box(axis, 11.5, 2.2, 'output', DATA, width=0.8)
    _arrow(axis, (1.1, 2.45), (2.0, 3.5))
    _arrow(axis, (1.1, 2.0), (1.7, 1.6))
    _arrow(axis, (2.9, 1.6), (3.3, 1.8), '$F^D$', 0.22)
    _arrow(axis, (4.9, 1.55), (4.9, 1.15))
    _arrow(axis, (6.5, 1.9), (8.1, 1.65), 'motion $F^M$')
    _arrow(axis, (6.5, 0.8), (8.1, 1.3), 'its change $F^{MM}$', -0.42)
    _arrow(axis, (7.2, 3.5), (10.0, 2.5), 'space and time $F^S$', 0.32)
    _arrow(axis, (9.3, 1.6), (9.95, 2.05))
    _chain(axis, 2.2, (10.5, 11.1))
    axis.text(
        4.9,
        0.15,
        r'one kernel $K^{PM}$, channel-wise $3\times 3$, for both equations; '
        'the STM block has the first alone',
        ha='center',
        va='center',
        fontsize=9,
        color='#444444',
    )


def _title(axis: Axes, y: float, text: str) -> None:
    axis.text(0.2, y, text, fontsize=12, weight='bold', va='center')


def _box(
    axis: Axes,
    x: float,
    y: float,
    text: str,
    colour: str,
    *,
    width: float = 1.4,
    height: float = 0.95,
) -> None:
    corner = (x - width / 2, y - height / 2)
    style = 'round,pad=0,rounding_size=0.08'
    axis.add_patch(
        FancyBboxPatch(
            corner, width, height, boxstyle=style, fc=colour, ec='#555555'
        )
    )
    axis.text(x, y, text, ha='center', va='center', fontsize=9)


def _arrow(
    axis: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    text: str = '',
    above: float = 0.12,
) -> None:
    axis.annotate(
        '', end, start, arrowprops={'arrowstyle': '-|>', 'color': '#333333'}
    )
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    upright = start[0] == end[0]
    axis.text(
        x + 0.1 * upright,
        y + (0 if upright else above),
        text,
        fontsize=9,
        ha='left' if upright else 'center',
        va='center' if upright or above < 0 else 'bottom',
    )


def _chain(axis: Axes, y: float, *pieces: tuple[float, float]) -> None:
    for start, end in pieces:
        _arrow(axis, (start, y), (end, y))


def _loss(axis: Axes, x: float, y: float, text: str, from_y: float) -> None:
    axis.plot([x, x], [from_y, y], color='#b07000', ls=':')
    axis.text(
        x,
        y,
        text,
        fontsize=9,
        ha='center',
        va='center',
        bbox={'boxstyle': 'round', 'fc': LOSS, 'ec': '#b07000'},
    )


if __name__ == '__main__':
    draw().savefig(OUT, dpi=130)
