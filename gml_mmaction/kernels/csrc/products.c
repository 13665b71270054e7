/* Products of maps and of matrices between C channels and c columns. */

#include "block.h"
#include "vectors.h"

#include <stdlib.h>

/* What one step of a narrow product takes: rows of x and vectors of its
 * result, in registers; channels, whose weights stay in the first cache while
 * rows of MANY pass by. */
enum { ROWS = 8, WIDE = 3, DEPTH = 128, MANY = 48 };

/* sums[row][v] += x w of some channels, ROWS rows and count vectors. */
INLINE void narrow_step(vec *sums, const float *const *x, const vec *w,
                        long channels, long stride, const int count)
{
    vec sum[ROWS][WIDE];
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < count; v++)
            sum[r][v] = sums[r * stride + v];
    for (long i = 0; i < channels; i++)
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < count; v++)
                sum[r][v] += x[r][i] * w[i * stride + v];
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < count; v++)
            sums[r * stride + v] = sum[r][v];
}

/* The same of all vectors. */
static void narrow_rows(vec *sums, const float *const *x, const vec *w,
                        long channels, long stride)
{
    long passes = pieces_of(stride, WIDE);
    for (long j = 0; j < passes; j++) {
        long v = j * stride / passes, next = (j + 1) * stride / passes;
        if (next - v == 1)
            narrow_step(sums + v, x, w + v, channels, stride, 1);
        else if (next - v == 2)
            narrow_step(sums + v, x, w + v, channels, stride, 2);
        else
            narrow_step(sums + v, x, w + v, channels, stride, 3);
    }
}

/* to[ROWS][DEPTH] = x, but not below zero. */
static void rectify_rows(float *to, const float **x, long channels)
{
    const vec floor = floor_of(1);
    for (long r = 0; r < ROWS; r++) {
        for (long k = 0; k < channels; k += LANES)
            store(to + r * DEPTH + k,
                  raised(load(x[r] + k, channels - k), floor), channels - k);
        x[r] = to + r * DEPTH;
    }
}

/* y = x M of at most MANY rows; w is M as [channels][stride] vectors. */
static void narrow_part(const float *x, const vec *w, float *y, vec *room,
                        long rows, const matrix *m, int rectify)
{
    const long channels = m->channels, columns = m->columns;
    long stride = pieces_of(columns, LANES);
    vec *sums = room + ROWS * DEPTH / LANES;
    memset(sums, 0, MANY * stride * sizeof(vec));
    for (long k = 0; k < channels; k += DEPTH)
        for (long i = 0; i < rows; i += ROWS) {
            long depth = least(DEPTH, channels - k);
            const float *own[ROWS];
            for (long r = 0; r < ROWS; r++) {
                own[r] = x + least(i + r, rows - 1) * channels + k;
                for (long j = 0; j < depth; j += LANES) /* a step ahead */
                    __builtin_prefetch(own[r] + 2 * ROWS * channels + j, 0,
                                       2);
            }
            if (rectify)
                rectify_rows((float *)room, own, depth);
            narrow_rows(sums + i * stride, own, w + k * stride, depth,
                        stride);
        }
    for (long r = 0; r < rows; r++)
        for (long v = 0; v < stride; v++)
            store(y + r * columns + v * LANES, sums[r * stride + v],
                  columns - v * LANES);
}

int narrow(const float *x, const matrix *m, float *y, long rows, int rectify,
           long threads)
{
    long stride = pieces_of(m->columns, LANES);
    vec *packed = zeros(m->channels * stride);
    if (!packed)
        return 1;
    int failed = 0;
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        vec *room = scratch(ROWS * DEPTH / LANES + MANY * stride);
        failed |= !room;
#pragma omp for
        for (long k = 0; k < m->channels; k++)
            for (long v = 0; v < stride; v++)
                packed[k * stride + v] =
                    pick(m->at + k * m->by_channel + v * LANES * m->by_column,
                         m->by_column, m->columns - v * LANES);
#pragma omp for
        for (long i = 0; i < threads; i++) {
            long begin = rows * i / threads, end = rows * (i + 1) / threads;
            for (long r = begin; room && r < end; r += MANY)
                narrow_part(x + r * m->channels, packed, y + r * m->columns,
                            room, least(MANY, end - r), m, rectify);
        }
    }
    free(packed);
    return failed;
}

/* What one step of a sum of outer products takes: rows, which stay in a
 * core's second cache; columns of a, and vectors of x, in registers; and
 * blocks of 16 channels that a thread takes. */
enum { DEEP = 128, TALL = 12, BROAD = 2, REACH = 48 };

/* Some rows of a and of x, from some column and channel on, and their sums,
 * [column][stride]. */
typedef struct {
    const float *a, *x;
    vec *sums, floor; /* below which x is raised */
    long rows, columns, channels, stride;
} strip;

/* sums[j][v] += a[r][j] x[r][v], some columns j and vectors v. */
INLINE void outer_step(const strip *s, long lanes, const int count,
                       const int broad)
{
    const float *a = s->a, *x = s->x;
    const long rows = s->rows, columns = s->columns, channels = s->channels;
    const vec floor = s->floor;
    vec sum[TALL][BROAD] = {{{0}}}; /* of few rows: less is rounded away */
    for (long r = 0; r < rows; r++) {
        vec own[BROAD];
        for (int v = 0; v < broad; v++) {
            const float *from = x + r * channels + v * LANES;
            own[v] = raised(load(from, lanes - v * LANES), floor);
            __builtin_prefetch(from + DEEP * channels, 0, 2);
        }
        for (int j = 0; j < count; j++)
            for (int v = 0; v < broad; v++)
                sum[j][v] += a[r * columns + j] * own[v];
    }
    for (int j = 0; j < count; j++)
        for (int v = 0; v < broad; v++)
            s->sums[j * s->stride + v] += sum[j][v];
}

/* The same, for the compiler to know the number of columns. */
INLINE void outer_counted(const strip *s, long lanes, long count,
                          const int broad)
{
    switch (count) {
    case 1: return outer_step(s, lanes, 1, broad);
    case 2: return outer_step(s, lanes, 2, broad);
    case 3: return outer_step(s, lanes, 3, broad);
    case 4: return outer_step(s, lanes, 4, broad);
    case 5: return outer_step(s, lanes, 5, broad);
    case 6: return outer_step(s, lanes, 6, broad);
    case 7: return outer_step(s, lanes, 7, broad);
    case 8: return outer_step(s, lanes, 8, broad);
    case 9: return outer_step(s, lanes, 9, broad);
    case 10: return outer_step(s, lanes, 10, broad);
    case 11: return outer_step(s, lanes, 11, broad);
    case 12: return outer_step(s, lanes, 12, broad);
    }
}

/* All columns take as few steps of equal size as can be, of 1 to TALL. */
static void outer_columns(const strip *all, long lanes)
{
    long steps = pieces_of(all->columns, TALL);
    for (long i = 0; i < steps; i++) {
        long j = i * all->columns / steps;
        long count = (i + 1) * all->columns / steps - j;
        strip s = *all;
        s.a += j;
        s.sums += j * s.stride;
        if (lanes >= BROAD * LANES)
            outer_counted(&s, BROAD * LANES, count, BROAD);
        else if (lanes >= LANES)
            outer_counted(&s, LANES, count, 1);
        else
            outer_counted(&s, lanes, count, 1);
    }
}

int outer(const float *a, const float *x, const matrix *m, long rows,
          int rectify, long threads)
{
    const long columns = m->columns, channels = m->channels;
    long blocks = pieces_of(channels, LANES), pieces = pieces_of(blocks, REACH);
    long reach = pieces_of(blocks, pieces), shares = pieces_of(threads, pieces);
    long size = columns * reach; /* vectors of a task's sums */
    vec *sums = scratch(pieces * shares * size);
    if (!sums)
        return 1;
#pragma omp parallel for num_threads(threads)
    for (long i = 0; i < pieces * shares; i++) {
        long piece = i / shares, share = i % shares;
        long begin = rows * share / shares, end = rows * (share + 1) / shares;
        long last = least(blocks, (piece + 1) * reach);
        for (long r = begin; r < end; r += DEEP)
            for (long b = piece * reach; b < last;) {
                long lanes = channels - b * LANES;
                int two = b + 1 < last && lanes >= BROAD * LANES;
                const strip s = {
                    .a = a + r * columns,
                    .x = x + r * channels + b * LANES,
                    .sums = sums + i * size + b - piece * reach,
                    .floor = floor_of(rectify),
                    .rows = least(DEEP, end - r),
                    .columns = columns,
                    .channels = channels,
                    .stride = reach,
                };
                outer_columns(&s, two ? lanes : least(lanes, LANES));
                b += two ? BROAD : 1;
            }
    }
    for (long j = 0; j < columns; j++)
        for (long k = 0; k < channels; k++) {
            long piece = k / LANES / reach, at = k / LANES - piece * reach;
            float sum = 0;
            for (long share = 0; share < shares; share++)
                sum += sums[(piece * shares + share) * size + j * reach + at]
                           [k % LANES];
            m->at[j * m->by_column + k * m->by_channel] = sum;
        }
    return 0;
}
