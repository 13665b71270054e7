"""Kernels of the motion blocks in Triton, for ``kernels/gpu.py``.

Maps are channels-last, ``(N*T, C, H, W)`` in memory as rows of C numbers.
Sums are float32 whatever the maps are. This folder is no package: to
import it needs Triton.

Numbers of a program that a mask compares are vectors (``tl.zeros`` is added):
Triton's interpreter makes integers of a single truth value.
"""

import triton
import triton.language as tl

__all__ = ['correlate', 'mix', 'reduce']


@triton.jit
def mix(
    x,
    y,
    temporal,
    spatial,
    rows,
    expand,
    seen,
    T,
    H,
    W,
    C,
    K: tl.constexpr,
    RELU: tl.constexpr,
    MASK: tl.constexpr,
    PRECISION: tl.constexpr,
    BW: tl.constexpr,
    BC: tl.constexpr,
    BK: tl.constexpr,
):
    """Y = CSTM(x) + rows @ expand.t(); forward, and with flipped kernels back.

    A program has BW pixels of a row of a frame and BC channels. RELU applies
    one to what is read of x; MASK zeroes y where ``seen`` is not above 0.
    """
    line = tl.program_id(0) + tl.zeros((BW,), tl.int32)
    w = tl.program_id(1) * BW + tl.arange(0, BW)
    c = tl.program_id(2) * BC + tl.arange(0, BC)
    h, frame = line % H, line // H
    t = frame % T
    known = c < C
    total = tl.zeros((BW, BC), tl.float32)
    for kh in tl.static_range(3):
        for kw in tl.static_range(3):
            hh, ww = h + kh - 1, w + kw - 1
            inside = (hh >= 0) & (hh < H) & (ww >= 0) & (ww < W)
            mixed = tl.zeros((BW, BC), tl.float32)
            for kt in tl.static_range(3):
                tt = t + kt - 1
                pixel = ((frame + kt - 1) * H + hh) * W + ww
                there = inside & (tt >= 0) & (tt < T)
                value = tl.load(
                    x + pixel.to(tl.int64)[:, None] * C + c[None, :],
                    mask=there[:, None] & known[None, :],
                    other=0.0,
                ).to(tl.float32)
                if RELU:
                    value = tl.where(value < 0, 0.0, value)
                factor = tl.load(temporal + c * 3 + kt, mask=known, other=0.0)
                mixed += value * factor.to(tl.float32)[None, :]
            factor = tl.load(
                spatial + c * 9 + kh * 3 + kw, mask=known, other=0.0
            )
            total += mixed * factor.to(tl.float32)[None, :]
    pixel = ((frame * H + h) * W + w).to(tl.int64)
    whole = (w < W)[:, None] & known[None, :]
    for start in tl.static_range(0, K, BK):
        k = start + tl.arange(0, BK)
        motion = tl.load(
            rows + pixel[:, None] * K + k[None, :],
            mask=(w < W)[:, None] & (k < K)[None, :],
            other=0.0,
        )
        weight = tl.load(
            expand + c[None, :] * K + k[:, None],
            mask=known[None, :] & (k < K)[:, None],
            other=0.0,
        )
        total += tl.dot(
            motion.to(tl.float32),
            weight.to(tl.float32),
            input_precision=PRECISION,
        )
    at = pixel[:, None] * C + c[None, :]
    if MASK:
        before = tl.load(seen + at, mask=whole, other=0.0).to(tl.float32)
        total = tl.where(before > 0, total, 0.0)
    tl.store(y + at, total.to(y.dtype.element_ty), mask=whole)


@triton.jit
def correlate(
    x,
    grad,
    sums,
    T,
    H,
    W,
    C,
    LINES,
    RELU: tl.constexpr,
    ROWS: tl.constexpr,
    TILES: tl.constexpr,
    BW: tl.constexpr,
    BC: tl.constexpr,
):
    """Sums over pixels of grad times x, at 3 frames, rows and columns.

    A program has ROWS rows of frames and BC channels and writes 27 sums a
    channel, ``(programs, 27, C)``, which are added without atomics: twice the
    same.
    """
    part = tl.program_id(0)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    known = c < C
    number = tl.arange(0, 32)
    total = tl.zeros((32, BC), tl.float32)
    for row in range(0, ROWS):
        line = part * ROWS + row + tl.zeros((BW,), tl.int32)
        h, frame = line % H, line // H
        t = frame % T
        for tile in range(0, TILES):
            w = tile * BW + tl.arange(0, BW)
            pixel = (line * W + w).to(tl.int64)
            own = tl.load(
                grad + pixel[:, None] * C + c[None, :],
                mask=((w < W) & (line < LINES))[:, None] & known[None, :],
                other=0.0,
            ).to(tl.float32)
            for tap in tl.static_range(27):
                tt = t + tap // 9 - 1
                hh, ww = h + tap // 3 % 3 - 1, w + tap % 3 - 1
                there = (hh >= 0) & (hh < H) & (ww >= 0) & (ww < W)
                there = there & (tt >= 0) & (tt < T) & (line < LINES)
                at = ((frame + tap // 9 - 1) * H + hh) * W + ww
                value = tl.load(
                    x + at.to(tl.int64)[:, None] * C + c[None, :],
                    mask=there[:, None] & known[None, :],
                    other=0.0,
                ).to(tl.float32)
                if RELU:
                    value = tl.where(value < 0, 0.0, value)
                found = tl.sum(own * value, axis=0)
                total += tl.where(number[:, None] == tap, found[None, :], 0.0)
    tl.store(
        sums + (part * 27 + number)[:, None] * C + c[None, :],
        total,
        mask=(number < 27)[:, None] & known[None, :],
    )


@triton.jit
def reduce(
    x,
    rows,
    weight,
    PIXELS,
    C: tl.constexpr,
    K,
    RELU: tl.constexpr,
    PRECISION: tl.constexpr,
    BM: tl.constexpr,
    BC: tl.constexpr,
    BK: tl.constexpr,
):
    """Rows = x @ weight.t(), ``(PIXELS, K)``; weight is ``(K, C)``."""
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    k = tl.program_id(1) * BK + tl.arange(0, BK)
    total = tl.zeros((BM, BK), tl.float32)
    for start in range(0, C, BC):
        c = start + tl.arange(0, BC)
        value = tl.load(
            x + m.to(tl.int64)[:, None] * C + c[None, :],
            mask=(m < PIXELS)[:, None] & (c < C)[None, :],
            other=0.0,
        ).to(tl.float32)
        if RELU:
            value = tl.where(value < 0, 0.0, value)
        factor = tl.load(
            weight + k[None, :] * C + c[:, None],
            mask=(k < K)[None, :] & (c < C)[:, None],
            other=0.0,
        )
        total += tl.dot(
            value,
            factor.to(tl.float32),
            input_precision=PRECISION,
        )
    tl.store(
        rows + m.to(tl.int64)[:, None] * K + k[None, :],
        total.to(rows.dtype.element_ty),
        mask=(m < PIXELS)[:, None] & (k < K)[None, :],
    )
