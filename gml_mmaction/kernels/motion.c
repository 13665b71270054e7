/* The fast path of fast_motion.py on a CPU: CSTM (Sec. 2.1) and the expansion
 * of motion in one pass, the reduction, F^M and F^MM (Eq. 1 and 2), and back.
 *
 * Maps are float32 and channels-last: x[n][t][h][w][c]; weights are as
 * PyTorch has them. x may go through a ReLU as it is read. CSTM takes 16
 * channels at a time; rows that a 3x3 window needs wait in a ring of three,
 * each with a pixel more at both ends, so that nothing of the size of a map is
 * written but the result.
 *
 * Functions return 0, or 1 without memory.
 */

#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

enum { LANES = 16 };

typedef float vec __attribute__((vector_size(64), aligned(4)));
typedef float half __attribute__((vector_size(32), aligned(4)));
typedef int ints __attribute__((vector_size(64)));

#define INLINE static inline __attribute__((always_inline))

/* A map, and how much of it is at work at a time. */
typedef struct {
    long n_count, t_count, height, width, channels;
    long blocks;        /* of 16 channels */
    long span;          /* frames at work */
    long chunk, tile;   /* blocks, and pixels of a row, at work */
    long line, row;     /* vectors of a tile's row: of a frame, of all */
    long pixels, frame; /* floats of a row of pixels, of a frame */
    int past;           /* write past the caches, see PAST */
    int rectify;        /* x goes through a ReLU first */
} sizes;

/* What is at work: blocks b to b + blocks, pixels w to w + width of a row,
 * frames t to t + frames of clip n. */
typedef struct {
    long b, blocks, w, width, t, frames, n;
} part;

/* The rows at work should stay in a core's second cache; shorter runs of
 * pixels than TILE read too many of their neighbours'. */
enum { CACHE = 384 * 1024, TILE = 14 };

/* Bytes of a map that will have left the caches before it is read: its lines
 * need not be fetched to be written. */
enum { PAST = 32 * 1024 * 1024 };

static long least(long a, long b) { return a < b ? a : b; }
static long most(long a, long b) { return a > b ? a : b; }
static long parts(long all, long one) { return (all + one - 1) / one; }

/* Zeros that begin with a cache line; NULL without memory. */
static vec *zeros(long count)
{
    vec *v = aligned_alloc(sizeof(vec), most(count, 1) * sizeof(vec));
    if (v)
        memset(v, 0, count * sizeof(vec));
    return v;
}

/* A thread's memory at work. It is kept for its next task, since pages that
 * are new to a process cost more than what is done in them. */
typedef struct {
    long count;
    vec *v;
} room;

static pthread_key_t room_key;
static pthread_once_t room_once = PTHREAD_ONCE_INIT;

static void leave(void *of)
{
    free(((room *)of)->v);
    free(of);
}

static void make_key(void) { pthread_key_create(&room_key, leave); }

/* Zeros, until this thread asks again; NULL without memory. */
static vec *work(long count)
{
    pthread_once(&room_once, make_key);
    room *own = pthread_getspecific(room_key);
    if (!own) {
        own = calloc(1, sizeof *own);
        if (!own || pthread_setspecific(room_key, own)) {
            free(own);
            return NULL;
        }
    }
    if (count > own->count) {
        free(own->v);
        own->v = zeros(count);
        own->count = own->v ? count : 0;
    } else {
        memset(own->v, 0, count * sizeof(vec));
    }
    return own->v;
}

static sizes measure(long n_count, long t_count, long height, long width,
                     long channels, long pieces, long rows, long threads,
                     long rectify)
{
    sizes s = {n_count, t_count, height, width, channels};
    s.rectify = rectify != 0;
    s.span = parts(t_count, pieces);
    long room = CACHE / (rows * s.span * (long)sizeof(vec));
    s.blocks = parts(channels, LANES);
    s.tile = least(most(room / s.blocks - 2, TILE), width);
    s.tile = parts(width, parts(width, s.tile)); /* tiles of equal width */
    s.line = s.tile + 2;
    s.row = s.span * s.line + 1; /* rows of 2^n bytes would share lines */
    s.chunk = most(least(room / s.line, s.blocks), 1);
    long others = n_count * parts(t_count, s.span) * parts(width, s.tile);
    long tasks = parts(threads, others);
    long chunks = parts(parts(s.blocks, s.chunk), tasks) * tasks;
    s.chunk = parts(s.blocks, chunks); /* as much for each thread */
    s.pixels = width * channels;
    s.frame = height * s.pixels;
    return s;
}

/* How many parts there are; the next is the next of the same frames. */
static long count_parts(const sizes *s)
{
    return s->n_count * parts(s->t_count, s->span) *
           parts(s->width, s->tile) * parts(s->blocks, s->chunk);
}

static part part_at(const sizes *s, long i)
{
    long chunks = parts(s->blocks, s->chunk), tiles = parts(s->width, s->tile);
    long spans = parts(s->t_count, s->span), j = i / chunks / tiles;
    part p = {i % chunks * s->chunk, 0, i / chunks % tiles * s->tile, 0,
              j % spans * s->span,   0, j / spans};
    p.blocks = least(s->chunk, s->blocks - p.b);
    p.width = least(s->tile, s->width - p.w);
    p.frames = least(s->span, s->t_count - p.t);
    return p;
}

INLINE vec load(const float *from, long lanes)
{
    vec v = {0};
    if (lanes >= LANES)
        return *(const vec *)from;
    if (lanes == LANES / 2)
        return __builtin_shufflevector(*(const half *)from, (half){0}, 0, 1,
                                       2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
                                       13, 14, 15);
    memcpy(&v, from, lanes * sizeof(float));
    return v;
}

INLINE void store(float *to, vec v, long lanes)
{
    if (lanes >= LANES)
        *(vec *)to = v;
    else if (lanes == LANES / 2)
        *(half *)to = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7);
    else
        memcpy(to, &v, lanes * sizeof(float));
}

/* What is below the floor is raised to it; NaN stays. */
INLINE vec raised(vec v, vec floor)
{
#ifdef __AVX512F__
    return (vec)_mm512_max_ps((__m512)floor, (__m512)v);
#else
    ints below = v < floor;
    return (vec)(((ints)v & ~below) | ((ints)floor & below));
#endif
}

/* 0 for a ReLU, and minus infinity for none. */
INLINE vec floor_of(int rectify)
{
    return (vec){0} + (rectify ? 0 : -INFINITY);
}

/* Store past the caches, where there is a way; to begins a cache line. */
INLINE void store_past(float *to, vec v)
{
#ifdef __AVX512F__
    _mm512_stream_ps(to, (__m512)v);
#else
    *(vec *)to = v;
#endif
}

/* What was stored past the caches is there for the other threads. */
static void settle(void)
{
#ifdef __AVX512F__
    _mm_sfence();
#endif
}

/* What lies step floats apart; zero beyond lanes. */
INLINE vec pick(const float *from, long step, long lanes)
{
    vec v = {0};
    if (lanes >= LANES)
        for (int i = 0; i < LANES; i++)
            v[i] = from[i * step];
    else
        for (int i = 0; i < lanes; i++)
            v[i] = from[i * step];
    return v;
}

/* Weights as [blocks][taps] vectors, zero beyond channels; those of channel
 * c and tap k are found at c * channel + k * tap. */
static vec *packed(const float *from, long taps, long channel, long tap,
                   const sizes *s, long threads)
{
    vec *v = zeros(s->blocks * taps);
    if (!v)
        return NULL;
#pragma omp parallel for num_threads(threads)
    for (long b = 0; b < s->blocks; b++) {
        long c = b * LANES;
        for (long k = 0; k < taps; k++)
            v[b * taps + k] =
                pick(from + c * channel + k * tap, channel, s->channels - c);
    }
    return v;
}

/* The first and the last pixel of a part, with the neighbours that exist. */
static long first(const part *p) { return p->w ? -1 : 0; }

static long last(const part *p, const sizes *s)
{
    return p->w + p->width < s->width ? p->width + 1 : p->width;
}

/* A row of all frames: to[block][t][w + 1] = from[t][w], but not below the
 * floor. */
static void read_row(vec *to, const float *from, vec floor, const sizes *s,
                     const part *p)
{
    for (long t = 0; t < s->t_count; t++)
        for (long w = first(p); w < last(p, s); w++) {
            const float *x = from + t * s->frame + (p->w + w) * s->channels;
            vec *v = to + t * s->line + w + 1;
            for (long i = 0; i < p->blocks; i++) {
                long c = (p->b + i) * LANES;
                v[i * s->row] = raised(load(x + c, s->channels - c), floor);
                __builtin_prefetch(x + c + s->pixels, 0, 2);
            }
        }
}

/* The way back, with rectify only where x is positive; in the order of memory,
 * which is fast in writing. */
static void write_row(float *to, const vec *from, const vec *x,
                      const sizes *s, const part *p)
{
    for (long t = 0; t < s->t_count; t++)
        for (long w = 0; w < p->width; w++) {
            float *y = to + t * s->frame + (p->w + w) * s->channels;
            long at = t * s->line + w + 1;
            for (long i = 0; i < p->blocks; i++) {
                long c = (p->b + i) * LANES;
                vec v = from[at + i * s->row];
                if (s->rectify)
                    v = (vec)((ints)v & (x[at + i * s->row] > 0));
                store(y + c, v, s->channels - c);
            }
        }
}

/* read_row of wt * x; from is of the part's first frame. */
static void mix_row(vec *to, const float *from, const vec *wt, const sizes *s,
                    const part *p)
{
    const vec floor = floor_of(s->rectify);
    long known = least(p->frames, s->t_count - p->t - 1);
    for (long w = first(p); w < last(p, s); w++)
        for (long i = 0; i < p->blocks; i++) {
            long c = (p->b + i) * LANES, lanes = s->channels - c;
            const float *x = from + (p->w + w) * s->channels + c;
            const vec *k = wt + 3 * (p->b + i);
            vec *v = to + i * s->row + w + 1;
            vec before = {0}, now = raised(load(x, lanes), floor);
            __builtin_prefetch(x + s->pixels, 0, 2);
            if (p->t) {
                before = raised(load(x - s->frame, lanes), floor);
                __builtin_prefetch(x - s->frame + s->pixels, 0, 2);
            }
            for (long t = 1; t <= known; t++) {
                vec after = raised(load(x + t * s->frame, lanes), floor);
                __builtin_prefetch(x + t * s->frame + s->pixels, 0, 2);
                *v = k[0] * before + k[1] * now + k[2] * after;
                v += s->line;
                before = now;
                now = after;
            }
            if (known < p->frames)
                *v = k[0] * before + k[1] * now;
        }
}

/* Motion m[pixel][c] and its expansion e[block][c]. */
typedef struct {
    const float *m;
    const vec *e;
    long c;
} motion;

/* Frames that a thread takes, or about as many: a part of fewer reads more of
 * its neighbours'. */
enum { SPAN = 4 };

/* What is summed at once: pixels and blocks, whose number the compiler knows;
 * fewer sums would wait for each other. */
enum { AT_ONCE = 8, PAIR = 2 };

/* Vectors of E's weights that stay in a core's first cache. */
enum { FEW = 256 };

#define EACH_COUNT(count, blocks)                                             \
    switch ((count) + ((blocks) == PAIR ? AT_ONCE : 0)) {                     \
        PIXELS(1)                                                             \
        PIXELS(2)                                                             \
        PIXELS(3)                                                             \
        PIXELS(4)                                                             \
        PIXELS(5)                                                             \
        PIXELS(6)                                                             \
        PIXELS(7)                                                             \
        PIXELS(8)                                                             \
    }
#define PIXELS(count)                                                         \
    case count:                                                               \
        SUM(count, 1);                                                        \
        break;                                                                \
    case count + AT_ONCE:                                                     \
        SUM(count, PAIR);                                                     \
        break;

/* sum[block][pixel] += E m. */
INLINE void expand_sums(vec sum[PAIR][AT_ONCE], const float *m,
                        const motion *expand, const int count,
                        const int blocks)
{
    for (long c = 0; c < expand->c; c++)
        for (int i = 0; i < count; i++)
            for (int b = 0; b < blocks; b++)
                sum[b][i] += m[i * expand->c + c] *
                             expand->e[b * expand->c + c];
}

/* F^S + E m from three rows of wt * x. */
INLINE void space_pixels(float *to, const vec *above, const vec *own,
                         const vec *below, const vec *ws, const float *m,
                         const motion *expand, const sizes *s, long lanes,
                         const int count, const int blocks)
{
    vec sum[PAIR][AT_ONCE];
    for (int j = 0; j < blocks; j++) {
        const vec *rows[3] = {above + j * s->row, own + j * s->row,
                              below + j * s->row};
        for (int r = 0; r < 3; r++) {
            const vec *k = ws + 9 * j + 3 * r;
            vec left = rows[r][0], here = rows[r][1];
            for (int i = 0; i < count; i++) {
                vec right = rows[r][i + 2];
                vec all = k[0] * left;
                all = (r ? sum[j][i] + all : all) + k[1] * here;
                sum[j][i] = all + k[2] * right;
                left = here;
                here = right;
            }
        }
    }
    expand_sums(sum, m, expand, count, blocks);
    for (int i = 0; i < count; i++)
        for (int j = 0; j < blocks; j++) {
            float *y = to + i * s->channels + j * LANES;
            if (s->past) {
                store_past(y, sum[j][i]);
            } else {
                store(y, sum[j][i], lanes - j * LANES);
                __builtin_prefetch(y + s->pixels, 1, 3);
            }
        }
}

/* A row of all frames, some blocks of which lanes channels are left, one or
 * two of them together. */
static void space_row(float *to, const vec *above, const vec *own,
                      const vec *below, const vec *ws, const motion *expand,
                      const sizes *s, const part *p, long lanes, long blocks,
                      long together)
{
    long groups = parts(p->width, AT_ONCE), plane = s->height * s->width;
    for (long t = 0; t < p->frames; t++)
        for (long g = 0; g < groups; g++) {
            long w = g * p->width / groups;
            long next = (g + 1) * p->width / groups;
            float *y = to + t * s->frame + w * s->channels;
            motion own_m = *expand;
            own_m.m += (t * plane + w) * expand->c;
            for (long b = 0; b < blocks; b += together) {
                long at = b * s->row + t * s->line + w;
                own_m.e = expand->e + b * expand->c;
#define SUM(count, blocks)                                                    \
    space_pixels(y + b * LANES, above + at, own + at, below + at, ws + 9 * b, \
                 own_m.m, &own_m, s, lanes - b * LANES, count, blocks)
                EACH_COUNT(next - w, least(together, blocks - b))
#undef SUM
            }
        }
}

/* All rows of a part. */
static int space_part(const float *x, float *y, const vec *wt, const vec *ws,
                      const float *m, const vec *e, long c, const sizes *s,
                      const part *p)
{
    long third = s->chunk * s->row, frame = p->n * s->t_count + p->t;
    long together = c > 18 ? PAIR : 1; /* or the taps are most of the work */
    /* In the order of memory, if E's weights then stay in the first cache. */
    long run = p->blocks * c <= FEW ? p->blocks : together;
    vec *ring = work(3 * third);
    if (!ring)
        return 1;
    for (long h = 0; h <= s->height; h++) {
        vec *next = ring + h % 3 * third;
        vec *own = ring + (h + 2) % 3 * third;
        vec *above = ring + (h + 1) % 3 * third;
        if (h < s->height)
            mix_row(next, x + frame * s->frame + h * s->pixels, wt, s, p);
        else
            memset(next, 0, third * sizeof(vec));
        for (long i = 0; h && i < p->blocks; i += run) {
            long b = p->b + i, row = frame * s->height + h - 1;
            long pixel = row * s->width + p->w;
            motion expand = {m + pixel * c, e + b * c, c};
            space_row(y + pixel * s->channels + b * LANES, above + i * s->row,
                      own + i * s->row, next + i * s->row, ws + 9 * b,
                      &expand, s, p, s->channels - b * LANES,
                      least(run, p->blocks - i), together);
        }
    }
    settle();
    return 0;
}

/* y = ws * (wt * x) + E m: F^S and the motion m, expanded from c channels.
 * Frames are shared out before channels, as around here: what a core has
 * read or written is then near to it. */
static int sum_forward(const float *x, float *y, const float *wt,
                       const float *ws, const float *m, const float *e,
                       long c, long n_count, long t_count, long height,
                       long width, long channels, long threads, long rectify)
{
    long pieces = least(parts(threads, n_count), parts(t_count, SPAN));
    sizes s = measure(n_count, t_count, height, width, channels, pieces, 3,
                      threads, rectify);
    s.past = channels % LANES == 0 && (uintptr_t)y % sizeof(vec) == 0 &&
             n_count * t_count * s.frame >= PAST / (long)sizeof(float);
    vec *time = packed(wt, 3, 3, 1, &s, threads);
    vec *space = packed(ws, 9, 9, 1, &s, threads);
    vec *expand = packed(e, c, c, 1, &s, threads);
    int failed = !time || !space || !expand;
    long tasks = failed ? 0 : count_parts(&s);
#pragma omp parallel for num_threads(threads) reduction(| : failed)
    for (long i = 0; i < tasks; i++) {
        part p = part_at(&s, i);
        failed |= space_part(x, y, time, space, m, expand, c, &s, &p);
    }
    free(time);
    free(space);
    free(expand);
    return failed;
}

/* A row's gradient of wt * x, and its part of that of ws, 16 channels.
 * The row below met the kernel's first row, and so on. */
static void space_back(vec *to, vec *sums, const vec *x, const vec *above,
                       const vec *own, const vec *below, const vec *wt,
                       const vec *ws, const sizes *s, const part *p)
{
    vec k[9], all[9] = {{0}};
    const vec k0 = wt[0], k1 = wt[1], k2 = wt[2];
    memcpy(k, ws, sizeof k);
    for (long t = 0; t < s->t_count; t++) {
        const vec *a = below + t * s->line, *c = own + t * s->line;
        const vec *d = above + t * s->line, *now = x + t * s->line + 1;
        for (long w = 0; w < p->width; w++) {
            vec mixed = k1 * now[w];
            if (t)
                mixed += k0 * now[w - s->line];
            if (t + 1 < s->t_count)
                mixed += k2 * now[w + s->line];
            to[t * s->line + w + 1] =
                k[0] * a[w + 2] + k[1] * a[w + 1] + k[2] * a[w] +
                (k[3] * c[w + 2] + k[4] * c[w + 1] + k[5] * c[w]) +
                (k[6] * d[w + 2] + k[7] * d[w + 1] + k[8] * d[w]);
            all[0] += mixed * a[w + 2];
            all[1] += mixed * a[w + 1];
            all[2] += mixed * a[w];
            all[3] += mixed * c[w + 2];
            all[4] += mixed * c[w + 1];
            all[5] += mixed * c[w];
            all[6] += mixed * d[w + 2];
            all[7] += mixed * d[w + 1];
            all[8] += mixed * d[w];
        }
    }
    for (int i = 0; i < 9; i++)
        sums[i] += all[i];
}

/* A row's gradient of x, and its part of that of wt, 16 channels. */
static void time_back(vec *to, vec *sums, const vec *x, const vec *g,
                      const vec *wt, const sizes *s, const part *p)
{
    vec all0 = {0}, all1 = {0}, all2 = {0};
    const vec k0 = wt[0], k1 = wt[1], k2 = wt[2];
    for (long t = 0; t < s->t_count; t++) {
        const vec *gm = g + t * s->line + 1, *now = x + t * s->line + 1;
        for (long w = 0; w < p->width; w++) {
            vec sum = k1 * gm[w];
            all1 += gm[w] * now[w];
            if (t) {
                sum += k2 * gm[w - s->line];
                all0 += gm[w] * now[w - s->line];
            }
            if (t + 1 < s->t_count) {
                sum += k0 * gm[w + s->line];
                all2 += gm[w] * now[w + s->line];
            }
            to[t * s->line + w + 1] = sum;
        }
    }
    sums[0] += all0;
    sums[1] += all1;
    sums[2] += all2;
}

/* to += E m. */
INLINE void expand_pixels(vec *to, const float *m, const motion *expand,
                          const sizes *s, const int count, const int blocks)
{
    vec sum[PAIR][AT_ONCE];
    for (int j = 0; j < blocks; j++)
        for (int i = 0; i < count; i++)
            sum[j][i] = to[j * s->row + i];
    expand_sums(sum, m, expand, count, blocks);
    for (int j = 0; j < blocks; j++)
        for (int i = 0; i < count; i++)
            to[j * s->row + i] = sum[j][i];
}

/* A row of all frames, one or two blocks. */
static void expand_row(vec *to, const motion *expand, const sizes *s,
                       const part *p, long blocks)
{
    long groups = parts(p->width, AT_ONCE), plane = s->height * s->width;
    for (long t = 0; t < s->t_count; t++)
        for (long g = 0; g < groups; g++) {
            long w = g * p->width / groups;
            long next = (g + 1) * p->width / groups;
            const float *m = expand->m + (t * plane + w) * expand->c;
#define SUM(count, blocks)                                                    \
    expand_pixels(to + t * s->line + w + 1, m, expand, s, count, blocks)
            EACH_COUNT(next - w, blocks)
#undef SUM
        }
}

/* All rows of a part; adds to sums, 3 of wt and 9 of ws a block. */
static int part_back(const float *x, const float *g, float *gx,
                     const vec *wt, const vec *ws, const float *m,
                     const vec *e, long c, vec *sums, const sizes *s,
                     const part *p)
{
    long sixth = s->chunk * s->row, start = p->n * s->t_count * s->frame;
    vec *ring = work(6 * sixth), *row = ring + 3 * sixth;
    vec *mixed = ring + 4 * sixth, *sum = ring + 5 * sixth;
    if (!ring)
        return 1;
    const vec floor = floor_of(s->rectify), none = floor_of(0);
    read_row(ring, g + start, none, s, p);
    for (long h = 0; h < s->height; h++) {
        long here = start + h * s->pixels;
        vec *next = ring + (h + 1) % 3 * sixth;
        vec *own = ring + h % 3 * sixth, *above = ring + (h + 2) % 3 * sixth;
        if (h + 1 < s->height)
            read_row(next, g + here + s->pixels, none, s, p);
        else
            memset(next, 0, sixth * sizeof(vec));
        read_row(row, x + here, floor, s, p);
        for (long i = 0; i < p->blocks; i++) {
            long b = p->b + i, at = i * s->row;
            space_back(mixed + at, sums + 12 * i + 3, row + at, above + at,
                       own + at, next + at, wt + 3 * b, ws + 9 * b, s, p);
            time_back(sum + at, sums + 12 * i, row + at, mixed + at,
                      wt + 3 * b, s, p);
        }
        for (long i = 0; i < p->blocks; i += PAIR) {
            long pixel = p->n * s->t_count * s->height * s->width;
            pixel += h * s->width + p->w;
            motion expand = {m + pixel * c, e + (p->b + i) * c, c};
            expand_row(sum + i * s->row, &expand, s, p,
                       least(PAIR, p->blocks - i));
        }
        write_row(gx + here, sum, row, s, p);
    }
    return 0;
}

/* Gradients of x, wt and ws from g, that of y; wt * x is made again. Added
 * to that of x: r m, the reduction's share, from c channels. */
static int sum_backward(const float *x, const float *g, float *gx,
                        const float *wt, const float *ws, float *gwt,
                        float *gws, const float *m, const float *r, long c,
                        long n_count, long t_count, long height, long width,
                        long channels, long threads, long rectify)
{
    const sizes s = measure(n_count, t_count, height, width, channels, 1, 6,
                            threads, rectify);
    vec *time = packed(wt, 3, 3, 1, &s, threads);
    vec *space = packed(ws, 9, 9, 1, &s, threads);
    vec *back = packed(r, c, 1, channels, &s, threads);
    int failed = !time || !space || !back;
    long chunks = parts(s.blocks, s.chunk), own = 12 * s.blocks;
    long tasks = count_parts(&s) / chunks;
    vec *sums = zeros(tasks * own);
    failed |= !sums;
#pragma omp parallel for num_threads(threads) reduction(| : failed)
    for (long i = 0; i < (failed ? 0 : tasks * chunks); i++) {
        part p = part_at(&s, i);
        failed |= part_back(x, g, gx, time, space, m, back, c,
                            sums + i / chunks * own + 12 * p.b, &s, &p);
    }
    for (long i = 0; i < (failed ? 0 : channels * 12); i++) {
        long k = i % 12, channel = i / 12;
        float sum = 0;
        for (long j = 0; j < tasks; j++)
            sum += sums[j * own + channel / LANES * 12 + k][channel % LANES];
        if (k < 3)
            gwt[3 * channel + k] = sum;
        else
            gws[9 * channel + k - 3] = sum;
    }
    free(sums);
    free(time);
    free(space);
    free(back);
    return failed;
}

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
    long passes = parts(stride, WIDE);
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

/* y[rows][c] = x[rows][channels] w[channels][stride], at most MANY rows. */
static void narrow_part(const float *x, const vec *w, float *y, vec *room,
                        long rows, long channels, long c, long rectify)
{
    long stride = parts(c, LANES);
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
            store(y + r * c + v * LANES, sums[r * stride + v], c - v * LANES);
}

/* y[rows][c] = x[rows][channels] w, c much smaller than channels; w[k][j]
 * is found at k * w_channel + j * w_column. */
static int narrow(const float *x, const float *w, float *y, long rows,
                  long channels, long c, long w_channel, long w_column,
                  long threads, long rectify)
{
    long stride = parts(c, LANES);
    vec *all = zeros(channels * stride);
    if (!all)
        return 1;
    int failed = 0;
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        vec *room = work(ROWS * DEPTH / LANES + MANY * stride);
        failed |= !room;
#pragma omp for
        for (long k = 0; k < channels; k++)
            for (long j = 0; j < stride; j++)
                all[k * stride + j] =
                    pick(w + k * w_channel + j * LANES * w_column, w_column,
                         c - j * LANES);
#pragma omp for
        for (long i = 0; i < threads; i++) {
            long begin = rows * i / threads, end = rows * (i + 1) / threads;
            for (long r = begin; room && r < end; r += MANY)
                narrow_part(x + r * channels, all, y + r * c, room,
                            least(MANY, end - r), channels, c, rectify);
        }
    }
    free(all);
    return failed;
}

/* What one step of a sum of outer products takes: rows, which stay in a
 * core's second cache; columns of a, and vectors of x, in registers. */
enum { DEEP = 128, TALL = 12, BROAD = 2, REACH = 48 };

/* sums[j][v] += a[r][j] x[r][v], some columns j and vectors v. */
INLINE void outer_step(vec *sums, long stride, const float *a, long c,
                       const float *x, vec floor, long channels, long rows,
                       long lanes, const int count, const int broad)
{
    vec sum[TALL][BROAD] = {{{0}}}; /* of few rows: less is rounded away */
    for (long r = 0; r < rows; r++) {
        vec own[BROAD];
        for (int v = 0; v < broad; v++) {
            own[v] = raised(
                load(x + r * channels + v * LANES, lanes - v * LANES), floor);
            __builtin_prefetch(x + (r + DEEP) * channels + v * LANES, 0, 2);
        }
        for (int j = 0; j < count; j++)
            for (int v = 0; v < broad; v++)
                sum[j][v] += a[r * c + j] * own[v];
    }
    for (int j = 0; j < count; j++)
        for (int v = 0; v < broad; v++)
            sums[j * stride + v] += sum[j][v];
}

/* The columns of a that are left take as few steps of equal size as can be,
 * of 1 to TALL. */
static void outer_columns(vec *sums, long stride, const float *a, long c,
                          const float *x, vec floor, long channels, long rows,
                          long lanes)
{
    long steps = parts(c, TALL);
    for (long i = 0; i < steps; i++) {
        long j = i * c / steps, next = (i + 1) * c / steps;
        vec *to = sums + j * stride;
#define COLUMNS(count)                                                        \
    case count:                                                               \
        if (lanes >= BROAD * LANES)                                           \
            outer_step(to, stride, a + j, c, x, floor, channels, rows,        \
                       BROAD * LANES, count, BROAD);                          \
        else if (lanes >= LANES)                                              \
            outer_step(to, stride, a + j, c, x, floor, channels, rows, LANES, \
                       count, 1);                                             \
        else                                                                  \
            outer_step(to, stride, a + j, c, x, floor, channels, rows, lanes, \
                       count, 1);                                             \
        break;
        switch (next - j) {
            COLUMNS(1)
            COLUMNS(2)
            COLUMNS(3)
            COLUMNS(4)
            COLUMNS(5)
            COLUMNS(6)
            COLUMNS(7)
            COLUMNS(8)
            COLUMNS(9)
            COLUMNS(10)
            COLUMNS(11)
            COLUMNS(12)
        }
#undef COLUMNS
    }
}

/* y = a^T x of a[rows][c] and x[rows][channels]; y[j][k] is put at
 * j * y_column + k * y_channel. */
static int outer(const float *a, const float *x, float *y, long rows, long c,
                 long channels, long y_column, long y_channel, long threads,
                 long rectify)
{
    const vec floor = floor_of(rectify);
    long blocks = parts(channels, LANES), pieces = parts(blocks, REACH);
    long reach = parts(blocks, pieces), shares = parts(threads, pieces);
    long size = c * reach; /* vectors of a task's sums */
    vec *sums = work(pieces * shares * size);
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
                outer_columns(sums + i * size + b - piece * reach, reach,
                              a + r * c, c, x + r * channels + b * LANES,
                              floor, channels, least(DEEP, end - r),
                              two ? lanes : least(lanes, LANES));
                b += two ? BROAD : 1;
            }
    }
    for (long j = 0; j < c; j++)
        for (long k = 0; k < channels; k++) {
            long piece = k / LANES / reach, at = k / LANES - piece * reach;
            float sum = 0;
            for (long share = 0; share < shares; share++)
                sum += sums[(piece * shares + share) * size + j * reach + at]
                           [k % LANES];
            y[j * y_column + k * y_channel] = sum;
        }
    return 0;
}

/* F^M and F^MM (Eq. 1 and 2), no motion at t = 0, and back.
 *
 * Maps of few channels are worked on in planes: frames with zeros around,
 * whose pixels have a power of two of channels up to 16, or a multiple of 16,
 * so that every vector of a row has its own weights, or the next of a few.
 */
typedef struct {
    long t_count, height, width, c; /* frames, rows, pixels, channels */
    long pixels, frame;             /* floats of a row, of a frame of a map */
    long pitch, step;   /* floats of a pixel, and to where weights repeat */
    long groups, count; /* vectors of a step, steps of a row */
    long line, plane;   /* floats of a row and of a plane */
} grid;

static grid lay_out(long t_count, long height, long width, long c)
{
    grid s = {t_count, height, width, c, width * c};
    s.frame = height * s.pixels;
    s.pitch = LANES % c ? parts(c, LANES) * LANES : c;
    s.step = most(s.pitch, LANES);
    s.groups = s.step / LANES;
    s.count = parts(width * s.pitch, s.step);
    s.line = (s.count + 2) * s.step; /* zeros on both sides */
    s.plane = (height + 2) * s.line;
    return s;
}

/* The channel that lane i of a step holds; c or more is none. */
static long channel_at(long i, const grid *s)
{
    return s->pitch < LANES ? i % s->c : i;
}

/* A number per channel, found step apart, as vectors. */
static void spread(vec *to, const float *from, long step, const grid *s)
{
    for (long i = 0; i < s->step; i++) {
        long c = channel_at(i, s);
        to[i / LANES][i % LANES] = c < s->c ? from[c * step] : 0;
    }
}

/* Where vector g of step i is in a row of a map. */
INLINE long place(long i, long g, const grid *s)
{
    return i * (s->pitch < LANES ? LANES : s->c) + g * LANES;
}

/* What is behind a row's last pixel stays zero. */
INLINE void end_row(float *row, const grid *s)
{
    long used = s->width * s->pitch;
    if (used < s->count * s->step)
        memset(row + s->step + used, 0,
               (s->count * s->step - used) * sizeof(float));
}

/* A plane's row = a x + b of a map's row. */
static void fill_row(float *to, const float *x, const vec *a, const vec *b,
                     const grid *s)
{
    for (long i = 0; i < s->count; i++)
        for (long g = 0; g < s->groups; g++) {
            long at = place(i, g, s);
            *(vec *)(to + (i + 1) * s->step + g * LANES) =
                a[g] * load(x + at, s->pixels - at) + b[g];
        }
    end_row(to, s);
}

/* The way back; a vector's surplus is written over by the next pixel. */
static void copy_row(float *to, const float *row, const grid *s)
{
    for (long i = 0; i < s->count; i++)
        for (long g = 0; g < s->groups; g++) {
            long at = place(i, g, s);
            store(to + at,
                  *(const vec *)(row + (i + 1) * s->step + g * LANES),
                  s->pixels - at);
        }
}

/* A row = times a - k * from, k[groups][9]. */
static void subtract_row(float *to, float times, const float *a,
                         const float *from, const vec *k, const grid *s)
{
    for (long g = 0; g < s->groups; g++) {
        const vec *w = k + 9 * g;
        for (long i = 0; i < s->count; i++) {
            long at = (i + 1) * s->step + g * LANES;
            vec sum[3];
            for (int r = 0; r < 3; r++) {
                const float *p = from + at + (r - 1) * s->line;
                sum[r] = w[3 * r] * *(const vec *)(p - s->pitch) +
                         w[3 * r + 1] * *(const vec *)p +
                         w[3 * r + 2] * *(const vec *)(p + s->pitch);
            }
            *(vec *)(to + at) = times * *(const vec *)(a + at) -
                                (sum[0] + sum[1] + sum[2]);
        }
    }
    end_row(to, s);
}

/* sums[groups][9] -= g x over a row, x shifted as k's taps shift it. */
static void correlate_row(vec *sums, const float *g, const float *x,
                          const grid *s)
{
    for (long j = 0; j < s->groups; j++) {
        vec sum[9] = {{0}};
        for (long i = 0; i < s->count; i++) {
            long at = (i + 1) * s->step + j * LANES;
            for (int k = 0; k < 9; k++)
                sum[k] += *(const vec *)(g + at) *
                          *(const vec *)(x + at + (k / 3 - 1) * s->line +
                                         (k % 3 - 1) * s->pitch);
        }
        for (int k = 0; k < 9; k++)
            sums[9 * j + k] -= sum[k];
    }
}

/* sums[groups][2] += g and g (x - centre) over a row; x is of a map. */
static void add_row(vec *sums, const float *g, const float *x,
                    const vec *centre, const grid *s)
{
    for (long j = 0; j < s->groups; j++) {
        vec sum = {0}, sum_x = {0};
        for (long i = 0; i < s->count; i++) {
            long at = place(i, j, s);
            vec own = *(const vec *)(g + (i + 1) * s->step + j * LANES);
            sum += own;
            sum_x += own * (load(x + at, s->pixels - at) - centre[j]);
        }
        sums[2 * j] += sum;
        sums[2 * j + 1] += sum_x;
    }
}

/* The same of all rows of planes. */

static void fill(float *to, const float *x, const vec *a, const vec *b,
                 const grid *s)
{
    for (long h = 0; h < s->height; h++)
        fill_row(to + (h + 1) * s->line, x + h * s->pixels, a, b, s);
}

static void subtract(float *to, float times, const float *a,
                     const float *from, const vec *k, const grid *s)
{
    for (long h = 1; h <= s->height; h++)
        subtract_row(to + h * s->line, times, a + h * s->line,
                     from + h * s->line, k, s);
}

static void spread_kernel(vec *to, const float *k, int flip, const grid *s)
{
    vec one[s->groups];
    for (int i = 0; i < 9; i++) {
        spread(one, k + (flip ? 8 - i : i), 9, s);
        for (long g = 0; g < s->groups; g++)
            to[9 * g + i] = one[g];
    }
}

/* Rows of a clip that a thread works on, and orders more around them: it
 * makes what it needs of its neighbours' rows itself, and waits for none. */
typedef struct {
    long top, begin, end, bottom;
} band;

static band band_at(long piece, long pieces, long height, long orders)
{
    band r = {0, piece * height / pieces, (piece + 1) * height / pieces};
    r.top = most(r.begin - orders, 0);
    r.bottom = least(r.end + orders, height);
    return r;
}

/* F^M, or F^M + F^MM, of a clip's rows, from x: F^D = a x + b, k[c][9]. */
static int motion_rows(const float *x, float *out, const float *a,
                       const float *b, const float *k, long orders,
                       const grid *all, band r)
{
    const grid s =
        lay_out(all->t_count, r.bottom - r.top, all->width, all->c);
    vec *weights = work(11 * s.groups + (4 * s.plane + s.line) / LANES);
    if (!weights)
        return 1;
    vec *scale = weights, *shift = scale + s.groups;
    vec *kernel = shift + s.groups;
    float *planes = (float *)(kernel + 9 * s.groups);
    float *row = planes + 4 * s.plane;
    spread(scale, a, 1, &s);
    spread(shift, b, 1, &s);
    spread_kernel(kernel, k, 0, &s);
    for (long t = 0; t < s.t_count; t++) {
        float *to = out + t * all->frame + r.begin * s.pixels;
        float *d = planes + t % 2 * s.plane, *f = d + 2 * s.plane;
        float *d_last = planes + (t + 1) % 2 * s.plane;
        float *f_last = d_last + 2 * s.plane;
        fill(d, x + t * all->frame + r.top * s.pixels, scale, shift, &s);
        if (t == 0) { /* f is zero */
            memset(to, 0, (r.end - r.begin) * s.pixels * sizeof(float));
            continue;
        }
        subtract(f, 1, d, d_last, kernel, &s);
        for (long h = r.begin; h < r.end; h++, to += s.pixels) {
            long at = (h - r.top + 1) * s.line;
            if (orders == 2)
                subtract_row(row, 2, f + at, f_last + at, kernel, &s);
            copy_row(to, orders == 2 ? row : f + at, &s);
        }
    }
    return 0;
}

static int motion_forward(const float *rows, float *out, const float *a,
                          const float *b, const float *k, long n_count,
                          long t_count, long height, long width, long c,
                          long orders, long threads)
{
    const grid s = lay_out(t_count, height, width, c);
    long pieces = least(parts(threads, n_count), height);
    int failed = 0;
#pragma omp parallel for num_threads(threads) reduction(| : failed)
    for (long i = 0; i < n_count * pieces; i++) {
        long clip = i / pieces * t_count * s.frame;
        failed |= motion_rows(rows + clip, out + clip, a, b, k, orders, &s,
                              band_at(i % pieces, pieces, height, orders));
    }
    return failed;
}

/* Gradients of a clip's rows: of F^D, into g_d, and to be added to totals:
 * [9][step] of k and [2][step], sums over pixels of g_d and g_d (x - mean).
 * What was F^D and F^M is made again, last frame first. */
static int motion_rows_back(const float *x, const float *g, float *g_d,
                            const float *a, const float *b, const float *k,
                            const float *mean, double *totals, long orders,
                            const grid *all, band r)
{
    const grid s =
        lay_out(all->t_count, r.bottom - r.top, all->width, all->c);
    vec *weights = work(33 * s.groups + (7 * s.plane + s.line) / LANES);
    if (!weights)
        return 1;
    vec *scale = weights, *shift = scale + s.groups;
    vec *centre = shift + s.groups, *same = centre + s.groups;
    vec *zero = same + s.groups, *kernel = zero + s.groups;
    vec *flipped = kernel + 9 * s.groups, *sums = flipped + 9 * s.groups;
    float *planes = (float *)(weights + 33 * s.groups);
    float *f = planes + 2 * s.plane, *g_two = planes + 3 * s.plane;
    float *g_one = planes + 5 * s.plane, *row = planes + 7 * s.plane;
    const float one = 1;
    spread(scale, a, 1, &s);
    spread(shift, b, 1, &s);
    spread(centre, mean, 1, &s);
    spread(same, &one, 0, &s);
    spread_kernel(kernel, k, 0, &s);
    spread_kernel(flipped, k, 1, &s);
    x += r.top * s.pixels;
    g += r.top * s.pixels;
    if (s.t_count > 1)
        fill(planes + (s.t_count - 2) % 2 * s.plane,
             x + (s.t_count - 2) * all->frame, scale, shift, &s);
    for (long t = s.t_count - 1; t >= 0; t--) {
        float *g2 = g_two + t % 2 * s.plane;
        float *g2_next = g_two + (t + 1) % 2 * s.plane;
        float *g1 = g_one + t % 2 * s.plane;
        float *g1_next = g_one + (t + 1) % 2 * s.plane;
        float *d = planes + (t + 1) % 2 * s.plane; /* t - 1 */
        float *d_last = planes + t % 2 * s.plane;  /* t - 2 */
        memset(sums, 0, 11 * s.groups * sizeof(vec));
        if (t == 0) {
            memset(g1, 0, s.plane * sizeof(float));
        } else {
            fill(g2, g + t * all->frame, same, zero, &s);
            if (orders == 2)
                subtract(g1, 2, g2, g2_next, flipped, &s);
            else
                memcpy(g1, g2, s.plane * sizeof(float));
        }
        if (t > 1) {
            fill(d_last, x + (t - 2) * all->frame, scale, shift, &s);
            if (orders == 2)
                subtract(f, 1, d, d_last, kernel, &s);
        }
        for (long h = r.begin; h < r.end; h++) {
            long at = (h - r.top + 1) * s.line;
            long here = t * all->frame + (h - r.top) * s.pixels;
            if (t > 0)
                correlate_row(sums, g1 + at, d + at, &s);
            if (t > 1 && orders == 2)
                correlate_row(sums, g2 + at, f + at, &s);
            subtract_row(row, 1, g1 + at, g1_next + at, flipped, &s);
            copy_row(g_d + r.top * s.pixels + here, row, &s);
            add_row(sums + 9 * s.groups, row, x + here, centre, &s);
        }
        for (long i = 0; i < s.step; i++) {
            long j = i / LANES, lane = i % LANES;
            for (long tap = 0; tap < 9; tap++)
                totals[tap * s.step + i] += sums[9 * j + tap][lane];
            for (long which = 0; which < 2; which++)
                totals[(9 + which) * s.step + i] +=
                    sums[9 * s.groups + 2 * j + which][lane];
        }
    }
    return 0;
}

/* Gradients of F^D, into g_d[rows], and of k; sums over pixels of g_d and
 * of g_d (rows - mean). */
static int motion_backward(const float *rows, const float *g, float *g_d,
                           const float *a, const float *b, const float *k,
                           const float *mean, float *g_k, float *g_sum,
                           float *g_sum_x, long n_count, long t_count,
                           long height, long width, long c, long orders,
                           long threads)
{
    const grid s = lay_out(t_count, height, width, c);
    long pieces = least(parts(threads, n_count), height);
    long tasks = n_count * pieces, own = 11 * s.step;
    double *totals = calloc(tasks * own, sizeof(double));
    int failed = !totals;
#pragma omp parallel for num_threads(threads) reduction(| : failed)
    for (long i = 0; i < (failed ? 0 : tasks); i++) {
        long clip = i / pieces * t_count * s.frame;
        failed |= motion_rows_back(
            rows + clip, g + clip, g_d + clip, a, b, k, mean,
            totals + i * own, orders, &s,
            band_at(i % pieces, pieces, height, orders));
    }
    for (long i = own; totals && i < tasks * own; i++)
        totals[i % own] += totals[i];
    for (long channel = 0; totals && channel < c; channel++)
        for (long j = 0; j < 11; j++) {
            double sum = 0;
            for (long i = 0; i < s.step; i++)
                if (channel_at(i, &s) == channel)
                    sum += totals[j * s.step + i];
            if (j < 9)
                g_k[9 * channel + j] = (float)sum;
            else
                (j == 9 ? g_sum : g_sum_x)[channel] = (float)sum;
        }
    free(totals);
    return failed;
}

/* The rest goes over rows of maps, pixels and channels at once: what is per
 * channel is repeated for every pixel of a row. */

static void repeat(float *to, const float *from, long c, long pixels)
{
    memcpy(to, from, c * sizeof(float));
    for (long j = c; j < pixels; j += c)
        memcpy(to + j, to, c * sizeof(float));
}

/* Sum over the pixels of a row. */
static void gather(float *to, const float *from, long c, long pixels)
{
    for (long i = 0; i < c; i++) {
        double sum = 0;
        for (long j = i; j < pixels; j += c)
            sum += from[j];
        to[i] = (float)sum;
    }
}

/* Mean and (biased) variance of each channel over rows of pixels. */
static int moments(const float *x, float *mean, float *variance,
                   long row_count, long width, long c, long threads)
{
    long pixels = width * c;
    float *sum = calloc(2 * pixels, sizeof(float));
    if (!sum)
        return 1;
    float *centre = sum + pixels;
    for (int pass = 0; pass < 2; pass++) {
#pragma omp parallel for num_threads(threads)
        for (long i = 0; i < threads; i++) {
            long begin = pixels * i / threads;
            long end = pixels * (i + 1) / threads;
            for (long h = 0; h < row_count; h++)
                for (long j = begin; j < end; j++) {
                    float d = x[h * pixels + j] - centre[j];
                    sum[j] += pass ? d * d : d;
                }
        }
        float *result = pass ? variance : mean;
        gather(result, sum, c, pixels);
        for (long i = 0; i < c; i++)
            result[i] /= row_count * width;
        repeat(centre, mean, c, pixels);
        memset(sum, 0, pixels * sizeof(float));
    }
    free(sum);
    return 0;
}

/* y = a y + b x + d, each per channel. */
static int combine(float *restrict y, const float *restrict x, const float *a,
                   const float *b, const float *d, long row_count, long width,
                   long c, long threads)
{
    long pixels = width * c;
    float *each = malloc(3 * pixels * sizeof(float));
    if (!each)
        return 1;
    repeat(each, a, c, pixels);
    repeat(each + pixels, b, c, pixels);
    repeat(each + 2 * pixels, d, c, pixels);
#pragma omp parallel for num_threads(threads)
    for (long h = 0; h < row_count; h++) {
        float *o = y + h * pixels;
        const float *p = x + h * pixels;
        for (long j = 0; j < pixels; j++)
            o[j] = each[j] * o[j] + each[pixels + j] * p[j] +
                   each[2 * pixels + j];
    }
    free(each);
    return 0;
}

/* Batch normalisation as a x + b, from the moments of its input. */
static void affine(float *a, float *b, const float *weight, const float *bias,
                   const float *mean, const float *variance, double eps,
                   long c)
{
    for (long i = 0; i < c; i++) {
        a[i] = (float)(weight[i] / sqrt(variance[i] + eps));
        b[i] = bias[i] - mean[i] * a[i];
    }
}

/* CSTM alone: y = ws * (wt * x), of x or, with rectify, of ReLU(x). */
int cstm_forward(const float *x, float *y, const float *wt, const float *ws,
                 long rectify, long n_count, long t_count, long height,
                 long width, long channels, long threads)
{
    return sum_forward(x, y, wt, ws, NULL, NULL, 0, n_count, t_count, height,
                       width, channels, threads, rectify);
}

/* Its gradients from g, that of y. */
int cstm_backward(const float *g, const float *x, const float *wt,
                  const float *ws, float *g_x, float *g_wt, float *g_ws,
                  long rectify, long n_count, long t_count, long height,
                  long width, long channels, long threads)
{
    return sum_backward(x, g, g_x, wt, ws, g_wt, g_ws, NULL, NULL, 0, n_count,
                        t_count, height, width, channels, threads, rectify);
}

/* A block, of x or, with rectify, of ReLU(x): y, and on the way reduced
 * [pixels][c], which is normalised with the mean and the variance that are
 * given or, with batch, its own, and motion[pixels][c], of one order or two.
 * Weights are as PyTorch has them: wt[C][3], ws[C][9], reduce[c][C],
 * expand[C][c], k_pm[c][9]. */
int block_forward(const float *x, float *y, const float *wt, const float *ws,
                  const float *reduce, const float *expand, const float *k_pm,
                  const float *weight, const float *bias, float *mean,
                  float *variance, float *reduced, float *motion, double eps,
                  long rectify, long batch, long c, long orders,
                  long n_count, long t_count, long height, long width,
                  long channels, long threads)
{
    long rows = n_count * t_count * height;
    float *a = malloc(2 * c * sizeof(float)), *b = a + c;
    int failed = !a || narrow(x, reduce, reduced, rows * width, channels, c,
                              1, channels, threads, rectify);
    if (!failed && batch)
        failed = moments(reduced, mean, variance, rows, width, c, threads);
    if (!failed) {
        affine(a, b, weight, bias, mean, variance, eps, c);
        failed = motion_forward(reduced, motion, a, b, k_pm, n_count, t_count,
                                height, width, c, orders, threads) ||
                 sum_forward(x, y, wt, ws, motion, expand, c, n_count,
                             t_count, height, width, channels, threads,
                             rectify);
    }
    free(a);
    return failed;
}

/* Its gradients from g, that of y; those of reduce and expand may be NULL.
 * g_motion and g_reduced have room for as much as motion. */
int block_backward(const float *x, const float *g, const float *wt,
                   const float *ws, const float *reduce, const float *expand,
                   const float *k_pm, const float *weight, const float *bias,
                   const float *mean, const float *variance,
                   const float *reduced, const float *motion, float *g_x,
                   float *g_wt, float *g_ws, float *g_reduce, float *g_expand,
                   float *g_k_pm, float *g_weight, float *g_bias,
                   float *g_motion, float *g_reduced, double eps,
                   long rectify, long batch, long c, long orders,
                   long n_count, long t_count, long height, long width,
                   long channels, long threads)
{
    long rows = n_count * t_count * height, pixels = rows * width;
    float *a = malloc(4 * c * sizeof(float)), *b = a + c;
    float *for_x = a + 2 * c, *rest = a + 3 * c;
    if (!a)
        return 1;
    affine(a, b, weight, bias, mean, variance, eps, c);
    int failed =
        narrow(g, expand, g_motion, pixels, channels, c, c, 1, threads, 0) ||
        motion_backward(reduced, g_motion, g_reduced, a, b, k_pm, mean,
                        g_k_pm, g_bias, g_weight, n_count, t_count, height,
                        width, c, orders, threads);
    for (long i = 0; !failed && i < c; i++) {
        double inverse = 1 / sqrt(variance[i] + eps);
        g_weight[i] = (float)(g_weight[i] * inverse);
        /* through the mean and the variance of the batch */
        for_x[i] = batch ? -a[i] * inverse * g_weight[i] / pixels : 0;
        rest[i] = batch ? -a[i] * g_bias[i] / pixels - for_x[i] * mean[i] : 0;
    }
    failed = failed ||
             combine(g_reduced, reduced, a, for_x, rest, rows, width, c,
                     threads) ||
             sum_backward(x, g, g_x, wt, ws, g_wt, g_ws, g_reduced, reduce, c,
                          n_count, t_count, height, width, channels, threads,
                          rectify);
    if (!failed && g_reduce)
        failed = outer(g_reduced, x, g_reduce, pixels, c, channels, channels,
                       1, threads, rectify);
    if (!failed && g_expand)
        failed = outer(motion, g, g_expand, pixels, c, channels, 1, c,
                       threads, 0);
    free(a);
    return failed;
}
