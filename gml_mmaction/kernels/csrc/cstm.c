/* CSTM (Sec. 2.1) and the expansion of motion in one pass, and back.
 *
 * CSTM takes 16 channels, a block, at a time. Rows that a 3x3 window needs
 * wait in a ring of three, each with a pixel more at both ends, so that
 * nothing of the size of a map is written but the result. x may go through a
 * ReLU as it is read.
 */

#include "block.h"
#include "vectors.h"

#include <stdint.h>
#include <stdlib.h>

/* The rows at work should stay in a core's second cache; shorter runs of
 * pixels than SHORTEST read too many of their neighbours'. */
enum { CACHE = 384 * 1024, SHORTEST = 14 };

/* Bytes of a map that will have left the caches before it is read: its lines
 * need not be fetched to be written. */
enum { PAST = 32 * 1024 * 1024 };

/* Frames that a thread takes, or about as many: a part of fewer reads more of
 * its neighbours'. */
enum { SPAN = 4 };

/* What is summed at once: pixels and blocks, whose number the compiler knows;
 * fewer sums would wait for each other. */
enum { AT_ONCE = 8, PAIR = 2 };

/* Vectors of a matrix that stay in a core's first cache. */
enum { FEW = 256 };

/* Taps of CSTM's two kernels. */
enum { TEMPORAL = 3, SPATIAL = 9, TAPS = TEMPORAL + SPATIAL };

/* A map and how it is cut into parts, each a thread's work at a time. */
typedef struct {
    shape x;
    long row_floats, frame_floats;
    long blocks;
    long part_frames, part_width, part_blocks; /* at most */
    /* Vectors of a part's row: of a frame, and of all frames of a block. */
    long frame_vectors, block_vectors;
} tiling;

/* A part: some blocks of some pixels of each row of some frames. */
typedef struct {
    long block, blocks, column, width, frame, frames, clip;
} part;

/* What a pass over a map reads and writes. */
typedef struct {
    tiling cut;
    const float *x, *g_y; /* g_y on the way back */
    const float *rows;    /* [pixels][c] */
    float *to;            /* y, or the gradient of x */
    long columns;         /* c */
    int rectify;
    int past; /* write past the caches, see PAST */
    vec *temporal, *spatial, *matrix; /* [blocks][taps], [blocks][c] */
} pass;

/* Rows that a 3x3 window reads. */
typedef struct {
    const vec *above, *own, *below;
} window;

static tiling cut(const options *o, long spans, long rows)
{
    const shape x = o->x;
    tiling s = {.x = x, .row_floats = x.width * x.channels};
    s.frame_floats = x.height * s.row_floats;
    s.blocks = pieces_of(x.channels, LANES);
    s.part_frames = pieces_of(x.frames, spans);
    long room = CACHE / (rows * s.part_frames * (long)sizeof(vec));
    long width = least(most(room / s.blocks - 2, SHORTEST), x.width);
    s.part_width = pieces_of(x.width, pieces_of(x.width, width)); /* equal */
    s.frame_vectors = s.part_width + 2;
    /* rows of 2^n bytes would share cache lines: one more */
    s.block_vectors = s.part_frames * s.frame_vectors + 1;
    long blocks = most(least(room / s.frame_vectors, s.blocks), 1);
    long others = x.clips * pieces_of(x.frames, s.part_frames) *
                  pieces_of(x.width, s.part_width);
    long shares = pieces_of(o->threads, others);
    long chunks = pieces_of(pieces_of(s.blocks, blocks), shares) * shares;
    s.part_blocks = pieces_of(s.blocks, chunks); /* as much for each thread */
    return s;
}

/* How many parts have the same pixels; they follow each other. */
static long count_chunks(const tiling *s)
{
    return pieces_of(s->blocks, s->part_blocks);
}

static long count_parts(const tiling *s)
{
    return s->x.clips * pieces_of(s->x.frames, s->part_frames) *
           pieces_of(s->x.width, s->part_width) * count_chunks(s);
}

static part part_at(const tiling *s, long i)
{
    long chunks = count_chunks(s);
    long tiles = pieces_of(s->x.width, s->part_width);
    long spans = pieces_of(s->x.frames, s->part_frames);
    part p = {
        .block = i % chunks * s->part_blocks,
        .column = i / chunks % tiles * s->part_width,
        .frame = i / chunks / tiles % spans * s->part_frames,
        .clip = i / chunks / tiles / spans,
    };
    p.blocks = least(s->part_blocks, s->blocks - p.block);
    p.width = least(s->part_width, s->x.width - p.column);
    p.frames = least(s->part_frames, s->x.frames - p.frame);
    return p;
}

/* A matrix as [blocks][columns] vectors, zero beyond its channels. */
static vec *packed(const matrix *m, long threads)
{
    long blocks = pieces_of(m->channels, LANES);
    vec *v = zeros(blocks * m->columns);
    if (!v)
        return NULL;
#pragma omp parallel for num_threads(threads)
    for (long b = 0; b < blocks; b++) {
        const float *from = m->at + b * LANES * m->by_channel;
        for (long j = 0; j < m->columns; j++)
            v[b * m->columns + j] = pick(from + j * m->by_column,
                                         m->by_channel,
                                         m->channels - b * LANES);
    }
    return v;
}

static void end(const pass *all)
{
    free(all->temporal);
    free(all->spatial);
    free(all->matrix);
}

/* Pack the weights of a pass; 1 without memory. */
static int begin(pass *all, const options *o, const weights *w,
                 const matrix *m)
{
    long channels = o->x.channels;
    const matrix temporal = {w->temporal, channels, TEMPORAL, TEMPORAL, 1};
    const matrix spatial = {w->spatial, channels, SPATIAL, SPATIAL, 1};
    all->columns = m->columns;
    all->rectify = o->rectify != 0;
    all->temporal = packed(&temporal, o->threads);
    all->spatial = packed(&spatial, o->threads);
    all->matrix = packed(m, o->threads);
    if (all->temporal && all->spatial && all->matrix)
        return 0;
    end(all);
    return 1;
}

/* The first and the last pixel of a part, with the neighbours that exist. */
static long first(const part *p) { return p->column ? -1 : 0; }

static long last(const part *p, const tiling *s)
{
    return p->column + p->width < s->x.width ? p->width + 1 : p->width;
}

/* A row of all frames: to[block][t][w + 1] = from[t][w], but not below the
 * floor. */
static void read_row(vec *to, const float *from, vec floor, const tiling *s,
                     const part *p)
{
    long channels = s->x.channels;
    for (long t = 0; t < s->x.frames; t++)
        for (long w = first(p); w < last(p, s); w++) {
            const float *x =
                from + t * s->frame_floats + (p->column + w) * channels;
            vec *v = to + t * s->frame_vectors + w + 1;
            for (long i = 0; i < p->blocks; i++) {
                long c = (p->block + i) * LANES;
                v[i * s->block_vectors] =
                    raised(load(x + c, channels - c), floor);
                __builtin_prefetch(x + c + s->row_floats, 0, 2);
            }
        }
}

/* The way back, with a ReLU only where x is positive; in the order of memory,
 * which is fast in writing. */
static void write_row(float *to, const vec *from, const vec *x, int rectify,
                      const tiling *s, const part *p)
{
    long channels = s->x.channels;
    for (long t = 0; t < s->x.frames; t++)
        for (long w = 0; w < p->width; w++) {
            float *y = to + t * s->frame_floats + (p->column + w) * channels;
            long at = t * s->frame_vectors + w + 1;
            for (long i = 0; i < p->blocks; i++) {
                long c = (p->block + i) * LANES;
                vec v = from[at + i * s->block_vectors];
                if (rectify)
                    v = (vec)((mask)v & (x[at + i * s->block_vectors] > 0));
                store(y + c, v, channels - c);
            }
        }
}

/* read_row of temporal * x; from is of the part's first frame. */
static void mix_row(vec *to, const float *from, const pass *all,
                    const part *p)
{
    const tiling *s = &all->cut;
    const vec floor = floor_of(all->rectify);
    long known = least(p->frames, s->x.frames - p->frame - 1);
    for (long w = first(p); w < last(p, s); w++)
        for (long i = 0; i < p->blocks; i++) {
            long c = (p->block + i) * LANES, lanes = s->x.channels - c;
            const float *x = from + (p->column + w) * s->x.channels + c;
            const vec *k = all->temporal + TEMPORAL * (p->block + i);
            vec *v = to + i * s->block_vectors + w + 1;
            vec before = {0}, now = raised(load(x, lanes), floor);
            __builtin_prefetch(x + s->row_floats, 0, 2);
            if (p->frame) {
                before = raised(load(x - s->frame_floats, lanes), floor);
                __builtin_prefetch(x - s->frame_floats + s->row_floats, 0, 2);
            }
            for (long t = 1; t <= known; t++) {
                const float *next = x + t * s->frame_floats;
                vec after = raised(load(next, lanes), floor);
                __builtin_prefetch(next + s->row_floats, 0, 2);
                *v = k[0] * before + k[1] * now + k[2] * after;
                v += s->frame_vectors;
                before = now;
                now = after;
            }
            if (known < p->frames)
                *v = k[0] * before + k[1] * now;
        }
}

/* sum[block][pixel] += rows M^T, some pixels and blocks. */
INLINE void add_product(vec sum[PAIR][AT_ONCE], const float *rows,
                        const vec *matrix, long columns, const int count,
                        const int blocks)
{
    for (long c = 0; c < columns; c++)
        for (int i = 0; i < count; i++)
            for (int b = 0; b < blocks; b++)
                sum[b][i] +=
                    rows[i * columns + c] * matrix[b * columns + c];
}

/* Where some pixels and blocks of a row lie. */
typedef struct {
    window mixed;           /* temporal * x, a pixel to the left */
    const vec *spatial, *matrix;
    const float *rows;
    float *y;
    long lanes; /* channels from here on */
} place;

/* y = spatial * mixed + rows M^T. */
INLINE void space_pixels(const place *at, const pass *all, const int count,
                         const int blocks)
{
    const long stride = all->cut.block_vectors;
    vec sum[PAIR][AT_ONCE];
    for (int j = 0; j < blocks; j++) {
        const vec *rows[3] = {at->mixed.above + j * stride,
                              at->mixed.own + j * stride,
                              at->mixed.below + j * stride};
        for (int r = 0; r < 3; r++) {
            const vec *k = at->spatial + SPATIAL * j + 3 * r;
            vec left = rows[r][0], here = rows[r][1];
            for (int i = 0; i < count; i++) {
                vec right = rows[r][i + 2];
                vec three = k[0] * left;
                three = (r ? sum[j][i] + three : three) + k[1] * here;
                sum[j][i] = three + k[2] * right;
                left = here;
                here = right;
            }
        }
    }
    add_product(sum, at->rows, at->matrix, all->columns, count, blocks);
    for (int i = 0; i < count; i++)
        for (int j = 0; j < blocks; j++) {
            float *y = at->y + i * all->cut.x.channels + j * LANES;
            if (all->past) {
                store_past(y, sum[j][i]);
            } else {
                store(y, sum[j][i], at->lanes - j * LANES);
                __builtin_prefetch(y + all->cut.row_floats, 1, 3);
            }
        }
}

/* The same, for the compiler to know the number of pixels. */
INLINE void space_counted(const place *at, const pass *all, long count,
                          const int blocks)
{
    switch (count) {
    case 1: return space_pixels(at, all, 1, blocks);
    case 2: return space_pixels(at, all, 2, blocks);
    case 3: return space_pixels(at, all, 3, blocks);
    case 4: return space_pixels(at, all, 4, blocks);
    case 5: return space_pixels(at, all, 5, blocks);
    case 6: return space_pixels(at, all, 6, blocks);
    case 7: return space_pixels(at, all, 7, blocks);
    case 8: return space_pixels(at, all, 8, blocks);
    }
}

/* A row of all frames, some blocks from a place on, one or two together. */
static void space_row(const place *from, const pass *all, const part *p,
                      long blocks, long together)
{
    const tiling *s = &all->cut;
    long groups = pieces_of(p->width, AT_ONCE);
    for (long t = 0; t < p->frames; t++)
        for (long g = 0; g < groups; g++) {
            long w = g * p->width / groups;
            long count = (g + 1) * p->width / groups - w;
            long pixel = t * s->x.height * s->x.width + w;
            for (long b = 0; b < blocks; b += together) {
                long vector = b * s->block_vectors + t * s->frame_vectors + w;
                const place at = {
                    {from->mixed.above + vector, from->mixed.own + vector,
                     from->mixed.below + vector},
                    from->spatial + b * SPATIAL,
                    from->matrix + b * all->columns,
                    from->rows + pixel * all->columns,
                    from->y + pixel * s->x.channels + b * LANES,
                    from->lanes - b * LANES,
                };
                if (least(together, blocks - b) == PAIR)
                    space_counted(&at, all, count, PAIR);
                else
                    space_counted(&at, all, count, 1);
            }
        }
}

/* All rows of a part. */
static int part_forward(const pass *all, const part *p)
{
    const tiling *s = &all->cut;
    long third = s->part_blocks * s->block_vectors;
    long frame = p->clip * s->x.frames + p->frame;
    long together = all->columns > 18 ? PAIR : 1; /* or taps are most of it */
    /* In the order of memory, if the matrix then stays in the first cache. */
    long run = p->blocks * all->columns <= FEW ? p->blocks : together;
    vec *ring = scratch(3 * third);
    if (!ring)
        return 1;
    for (long h = 0; h <= s->x.height; h++) {
        vec *below = ring + h % 3 * third;
        vec *own = ring + (h + 2) % 3 * third;
        vec *above = ring + (h + 1) % 3 * third;
        if (h < s->x.height)
            mix_row(below,
                    all->x + frame * s->frame_floats + h * s->row_floats, all,
                    p);
        else
            memset(below, 0, third * sizeof(vec));
        for (long i = 0; h && i < p->blocks; i += run) {
            long b = p->block + i, vector = i * s->block_vectors;
            long row = frame * s->x.height + h - 1;
            long pixel = row * s->x.width + p->column;
            const place from = {
                {above + vector, own + vector, below + vector},
                all->spatial + b * SPATIAL,
                all->matrix + b * all->columns,
                all->rows + pixel * all->columns,
                all->to + pixel * s->x.channels + b * LANES,
                s->x.channels - b * LANES,
            };
            space_row(&from, all, p, least(run, p->blocks - i), together);
        }
    }
    settle();
    return 0;
}

/* Frames are shared out before channels, as around here: what a core has
 * read or written is then near to it. */
int sum_forward(const options *o, const weights *w, const float *x,
                const float *rows, const matrix *m, float *y)
{
    const shape size = o->x;
    long spans = least(pieces_of(o->threads, size.clips),
                       pieces_of(size.frames, SPAN));
    pass all = {cut(o, spans, 3), .x = x, .rows = rows, .to = y};
    all.past = size.channels % LANES == 0 && (uintptr_t)y % sizeof(vec) == 0 &&
               size.clips * size.frames * all.cut.frame_floats >=
                   PAST / (long)sizeof(float);
    int failed = begin(&all, o, w, m);
    if (failed)
        return failed;
    long count = count_parts(&all.cut);
#pragma omp parallel for num_threads(o->threads) reduction(| : failed)
    for (long i = 0; i < count; i++) {
        part p = part_at(&all.cut, i);
        failed |= part_forward(&all, &p);
    }
    end(&all);
    return failed;
}

/* Rows of a part on the way back, [block][frame][pixel], a pixel more at both
 * ends. */
typedef struct {
    vec *x;
    window g_y;
    vec *g_mixed; /* the gradient of temporal * x */
    vec *g_x;
} rows_back;

/* A row's gradient of temporal * x, and its part of that of spatial: block i.
 * The row below met the kernel's first row, and so on. */
static void space_back(const rows_back *at, vec *sums, long i,
                       const pass *all, const part *p)
{
    const tiling *s = &all->cut;
    const long from = i * s->block_vectors, frames = s->x.frames;
    const long line = s->frame_vectors;
    const vec *kt = all->temporal + TEMPORAL * (p->block + i);
    const vec k0 = kt[0], k1 = kt[1], k2 = kt[2];
    vec k[SPATIAL], own[SPATIAL] = {{0}};
    memcpy(k, all->spatial + SPATIAL * (p->block + i), sizeof k);
    for (long t = 0; t < frames; t++) {
        const vec *a = at->g_y.below + from + t * line;
        const vec *b = at->g_y.own + from + t * line;
        const vec *c = at->g_y.above + from + t * line;
        const vec *now = at->x + from + t * line + 1;
        vec *to = at->g_mixed + from + t * line + 1;
        for (long w = 0; w < p->width; w++) {
            vec mixed = k1 * now[w];
            if (t)
                mixed += k0 * now[w - line];
            if (t + 1 < frames)
                mixed += k2 * now[w + line];
            to[w] = k[0] * a[w + 2] + k[1] * a[w + 1] + k[2] * a[w] +
                    (k[3] * b[w + 2] + k[4] * b[w + 1] + k[5] * b[w]) +
                    (k[6] * c[w + 2] + k[7] * c[w + 1] + k[8] * c[w]);
            own[0] += mixed * a[w + 2];
            own[1] += mixed * a[w + 1];
            own[2] += mixed * a[w];
            own[3] += mixed * b[w + 2];
            own[4] += mixed * b[w + 1];
            own[5] += mixed * b[w];
            own[6] += mixed * c[w + 2];
            own[7] += mixed * c[w + 1];
            own[8] += mixed * c[w];
        }
    }
    for (int j = 0; j < SPATIAL; j++)
        sums[j] += own[j];
}

/* A row's gradient of x, and its part of that of temporal: block i. */
static void time_back(const rows_back *at, vec *sums, long i, const pass *all,
                      const part *p)
{
    const tiling *s = &all->cut;
    const long from = i * s->block_vectors + 1, frames = s->x.frames;
    const long line = s->frame_vectors;
    const vec *k = all->temporal + TEMPORAL * (p->block + i);
    const vec k0 = k[0], k1 = k[1], k2 = k[2];
    vec own0 = {0}, own1 = {0}, own2 = {0};
    for (long t = 0; t < frames; t++) {
        const vec *g = at->g_mixed + from + t * line;
        const vec *now = at->x + from + t * line;
        vec *to = at->g_x + from + t * line;
        for (long w = 0; w < p->width; w++) {
            vec sum = k1 * g[w];
            own1 += g[w] * now[w];
            if (t) {
                sum += k2 * g[w - line];
                own0 += g[w] * now[w - line];
            }
            if (t + 1 < frames) {
                sum += k0 * g[w + line];
                own2 += g[w] * now[w + line];
            }
            to[w] = sum;
        }
    }
    sums[0] += own0;
    sums[1] += own1;
    sums[2] += own2;
}

/* to += rows M^T, some pixels and blocks. */
INLINE void expand_pixels(vec *to, const float *rows, const vec *matrix,
                          const pass *all, const int count, const int blocks)
{
    const long stride = all->cut.block_vectors;
    vec sum[PAIR][AT_ONCE];
    for (int j = 0; j < blocks; j++)
        for (int i = 0; i < count; i++)
            sum[j][i] = to[j * stride + i];
    add_product(sum, rows, matrix, all->columns, count, blocks);
    for (int j = 0; j < blocks; j++)
        for (int i = 0; i < count; i++)
            to[j * stride + i] = sum[j][i];
}

/* The same, for the compiler to know the number of pixels. */
INLINE void expand_counted(vec *to, const float *rows, const vec *matrix,
                           const pass *all, long count, const int blocks)
{
    switch (count) {
    case 1: return expand_pixels(to, rows, matrix, all, 1, blocks);
    case 2: return expand_pixels(to, rows, matrix, all, 2, blocks);
    case 3: return expand_pixels(to, rows, matrix, all, 3, blocks);
    case 4: return expand_pixels(to, rows, matrix, all, 4, blocks);
    case 5: return expand_pixels(to, rows, matrix, all, 5, blocks);
    case 6: return expand_pixels(to, rows, matrix, all, 6, blocks);
    case 7: return expand_pixels(to, rows, matrix, all, 7, blocks);
    case 8: return expand_pixels(to, rows, matrix, all, 8, blocks);
    }
}

/* A row of all frames, block i and perhaps the next. */
static void expand_row(vec *g_x, long row, long i, const pass *all,
                       const part *p)
{
    const tiling *s = &all->cut;
    const vec *matrix = all->matrix + (p->block + i) * all->columns;
    long groups = pieces_of(p->width, AT_ONCE);
    for (long t = 0; t < s->x.frames; t++)
        for (long g = 0; g < groups; g++) {
            long w = g * p->width / groups;
            long count = (g + 1) * p->width / groups - w;
            long frame = p->clip * s->x.frames + t;
            long pixel =
                (frame * s->x.height + row) * s->x.width + p->column + w;
            const float *rows = all->rows + pixel * all->columns;
            vec *to = g_x + i * s->block_vectors + t * s->frame_vectors + w + 1;
            if (p->blocks - i >= PAIR)
                expand_counted(to, rows, matrix, all, count, PAIR);
            else
                expand_counted(to, rows, matrix, all, count, 1);
        }
}

/* All rows of a part; adds to sums[block][TAPS]. */
static int part_back(const pass *all, const part *p, vec *sums)
{
    const tiling *s = &all->cut;
    long sixth = s->part_blocks * s->block_vectors;
    long start = p->clip * s->x.frames * s->frame_floats;
    vec *ring = scratch(6 * sixth);
    if (!ring)
        return 1;
    rows_back at = {.x = ring + 3 * sixth,
                    .g_mixed = ring + 4 * sixth,
                    .g_x = ring + 5 * sixth};
    const vec floor = floor_of(all->rectify), none = floor_of(0);
    read_row(ring, all->g_y + start, none, s, p);
    for (long h = 0; h < s->x.height; h++) {
        long here = start + h * s->row_floats;
        vec *below = ring + (h + 1) % 3 * sixth;
        at.g_y = (window){ring + (h + 2) % 3 * sixth, ring + h % 3 * sixth,
                          below};
        if (h + 1 < s->x.height)
            read_row(below, all->g_y + here + s->row_floats, none, s, p);
        else
            memset(below, 0, sixth * sizeof(vec));
        read_row(at.x, all->x + here, floor, s, p);
        for (long i = 0; i < p->blocks; i++) {
            space_back(&at, sums + TAPS * i + TEMPORAL, i, all, p);
            time_back(&at, sums + TAPS * i, i, all, p);
        }
        for (long i = 0; i < p->blocks; i += PAIR)
            expand_row(at.g_x, h, i, all, p);
        write_row(all->to + here, at.g_x, at.x, all->rectify, s, p);
    }
    return 0;
}

/* The gradients of both kernels, from shares of sums[block][TAPS]. */
static void add_up(const vec *sums, long shares, const weights *g,
                   const tiling *s)
{
    for (long i = 0; i < s->x.channels * TAPS; i++) {
        long tap = i % TAPS, channel = i / TAPS;
        float sum = 0;
        for (long j = 0; j < shares; j++) {
            long block = j * s->blocks + channel / LANES;
            sum += sums[block * TAPS + tap][channel % LANES];
        }
        if (tap < TEMPORAL)
            g->temporal[TEMPORAL * channel + tap] = sum;
        else
            g->spatial[SPATIAL * channel + tap - TEMPORAL] = sum;
    }
}

/* temporal * x is made again. */
int sum_backward(const options *o, const weights *w, const float *x,
                 const float *g_y, const float *rows, const matrix *m,
                 float *g_x, const weights *g)
{
    pass all = {cut(o, 1, 6), .x = x, .g_y = g_y, .rows = rows, .to = g_x};
    const tiling *s = &all.cut;
    long chunks = count_chunks(s), shares = count_parts(s) / chunks;
    int failed = begin(&all, o, w, m);
    if (failed)
        return failed;
    vec *sums = zeros(shares * s->blocks * TAPS);
    failed = !sums;
#pragma omp parallel for num_threads(o->threads) reduction(| : failed)
    for (long i = 0; i < (sums ? shares * chunks : 0); i++) {
        part p = part_at(s, i);
        long block = i / chunks * s->blocks + p.block;
        failed |= part_back(&all, &p, sums + block * TAPS);
    }
    if (!failed)
        add_up(sums, shares, g, s);
    free(sums);
    end(&all);
    return failed;
}
