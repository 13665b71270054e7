/* The channel-wise convolutions of CSTM (Sec. 2.1) in one pass, and back.
 *
 * Maps are float32 and channels-last: x[n][t][h][w][c]. Work is done for 16
 * channels at a time; rows that a 3x3 window needs wait in a ring of three,
 * each with a zero pixel at both ends, so that nothing of the size of a map
 * is written but the result.
 *
 * Weights come as wt[3][blocks * 16] and ws[9][blocks * 16], zero beyond C.
 */

#include <stdlib.h>
#include <string.h>

enum { LANES = 16 };

typedef float vec __attribute__((vector_size(64), aligned(4)));

/* What does not change: sizes of a map, and of a task's share of channels. */
typedef struct {
    long n_count, t_count, height, width, channels;
    long blocks, padded; /* of 16 channels; channels of the weights */
    long chunk;          /* blocks that one task takes at a time */
    long line, row;      /* vectors of a row of one frame, of all frames */
    long pixels, frame;  /* floats of a row of pixels, of a frame */
} sizes;

/* A task's rows should stay in a core's second cache. */
enum { CACHE = 384 * 1024 };

/* Zeros that begin with a cache line; NULL without memory. */
static vec *zeros(long count)
{
    vec *v = aligned_alloc(sizeof(vec), count * sizeof(vec));
    if (v)
        memset(v, 0, count * sizeof(vec));
    return v;
}

static sizes measure(long n_count, long t_count, long height, long width,
                     long channels, long rows, long tasks)
{
    sizes s = {n_count, t_count, height, width, channels};
    s.blocks = (channels + LANES - 1) / LANES;
    s.padded = s.blocks * LANES;
    s.line = width + 2;
    s.row = t_count * s.line + 1; /* rows of 2^n bytes would share lines */
    s.pixels = width * channels;
    s.frame = height * s.pixels;
    s.chunk = CACHE / (long)(rows * s.row * sizeof(vec));
    if (s.chunk > s.blocks / tasks)
        s.chunk = s.blocks / tasks;
    if (s.chunk < 1)
        s.chunk = 1;
    return s;
}

static inline vec load(const float *from, long lanes)
{
    vec v = {0};
    if (lanes >= LANES)
        return *(const vec *)from;
    if (lanes == LANES / 2)
        memcpy(&v, from, LANES / 2 * sizeof(float));
    else
        memcpy(&v, from, lanes * sizeof(float));
    return v;
}

static inline void store(float *to, vec v, long lanes)
{
    if (lanes >= LANES)
        *(vec *)to = v;
    else if (lanes == LANES / 2)
        memcpy(to, &v, LANES / 2 * sizeof(float));
    else
        memcpy(to, &v, lanes * sizeof(float));
}

/* Blocks of the chunk that begins at block b. */
static inline long blocks_of(const sizes *s, long b)
{
    return s->blocks - b < s->chunk ? s->blocks - b : s->chunk;
}

/* A row of all frames: to[i][t][w + 1] = from[t][w], block b + i. */
static void read_row(vec *to, const float *from, const sizes *s, long b)
{
    long count = blocks_of(s, b);
    for (long t = 0; t < s->t_count; t++)
        for (long w = 0; w < s->width; w++) {
            const float *p = from + t * s->frame + w * s->channels;
            vec *v = to + t * s->line + w + 1;
            for (long i = 0; i < count; i++)
                v[i * s->row] = load(p + (b + i) * LANES,
                                     s->channels - (b + i) * LANES);
        }
}

/* The same of wt * x. */
static void mix_row(vec *to, const float *from, const float *wt,
                    const sizes *s, long b)
{
    long count = blocks_of(s, b);
    for (long w = 0; w < s->width; w++)
        for (long i = 0; i < count; i++) {
            long c = (b + i) * LANES, lanes = s->channels - c;
            const float *p = from + w * s->channels + c;
            const vec k0 = *(const vec *)(wt + c);
            const vec k1 = *(const vec *)(wt + s->padded + c);
            const vec k2 = *(const vec *)(wt + 2 * s->padded + c);
            vec *v = to + i * s->row + w + 1;
            vec before = {0}, now = load(p, lanes);
            for (long t = 1; t < s->t_count; t++) {
                vec after = load(p + t * s->frame, lanes);
                *v = k0 * before + k1 * now + k2 * after;
                v += s->line;
                before = now;
                now = after;
            }
            *v = k0 * before + k1 * now;
        }
}

/* One row of F^S from three of wt * x, 16 channels. */
static void space_row(float *to, const vec *above, const vec *own,
                      const vec *below, const float *ws, const sizes *s,
                      long lanes)
{
    vec k[9];
    for (int i = 0; i < 9; i++)
        k[i] = *(const vec *)(ws + i * s->padded);
    for (long t = 0; t < s->t_count; t++) {
        const vec *a = above + t * s->line, *c = own + t * s->line;
        const vec *d = below + t * s->line;
        for (long w = 0; w < s->width; w++) {
            vec top = k[0] * a[w] + k[1] * a[w + 1] + k[2] * a[w + 2];
            vec mid = k[3] * c[w] + k[4] * c[w + 1] + k[5] * c[w + 2];
            vec low = k[6] * d[w] + k[7] * d[w + 1] + k[8] * d[w + 2];
            store(to + t * s->frame + w * s->channels, top + mid + low,
                  lanes);
        }
    }
}

/* F^S = ws * (wt * x). Returns 0, or 1 without memory. */
int cstm_forward(const float *x, float *y, const float *wt, const float *ws,
                 long n_count, long t_count, long height, long width,
                 long channels, long threads)
{
    const sizes s = measure(n_count, t_count, height, width, channels, 3,
                            (threads + n_count - 1) / n_count);
    long third = s.chunk * s.row;
    int failed = 0;
#pragma omp parallel for collapse(2) num_threads(threads) reduction(| : failed)
    for (long n = 0; n < s.n_count; n++)
        for (long b = 0; b < s.blocks; b += s.chunk) {
            const float *from = x + n * s.t_count * s.frame;
            float *to = y + n * s.t_count * s.frame;
            vec *ring = zeros(3 * third);
            if (!ring) {
                failed = 1;
                continue;
            }
            for (long h = 0; h <= s.height; h++) {
                vec *next = ring + h % 3 * third;
                vec *own = ring + (h + 2) % 3 * third;
                vec *last = ring + (h + 1) % 3 * third;
                if (h < s.height)
                    mix_row(next, from + h * s.pixels, wt, &s, b);
                else
                    memset(next, 0, third * sizeof(vec));
                for (long i = 0; h && i < blocks_of(&s, b); i++) {
                    long c = (b + i) * LANES;
                    space_row(to + (h - 1) * s.pixels + c, last + i * s.row,
                              own + i * s.row, next + i * s.row, ws + c, &s,
                              s.channels - c);
                }
            }
            free(ring);
        }
    return failed;
}

/* A row's gradient of wt * x, and its part of that of ws, 16 channels.
 * The row below met the kernel's first row, and so on. */
static void space_back(vec *to, vec *sums, const vec *x, const vec *above,
                       const vec *own, const vec *below, const float *wt,
                       const float *ws, const sizes *s)
{
    vec k[9], part[9] = {{0}};
    const vec k0 = *(const vec *)wt, k1 = *(const vec *)(wt + s->padded);
    const vec k2 = *(const vec *)(wt + 2 * s->padded);
    for (int i = 0; i < 9; i++)
        k[i] = *(const vec *)(ws + i * s->padded);
    for (long t = 0; t < s->t_count; t++) {
        const vec *a = below + t * s->line, *c = own + t * s->line;
        const vec *d = above + t * s->line, *now = x + t * s->line + 1;
        for (long w = 0; w < s->width; w++) {
            vec mixed = k1 * now[w];
            if (t)
                mixed += k0 * now[w - s->line];
            if (t + 1 < s->t_count)
                mixed += k2 * now[w + s->line];
            to[t * s->line + w + 1] =
                k[0] * a[w + 2] + k[1] * a[w + 1] + k[2] * a[w] +
                (k[3] * c[w + 2] + k[4] * c[w + 1] + k[5] * c[w]) +
                (k[6] * d[w + 2] + k[7] * d[w + 1] + k[8] * d[w]);
            part[0] += mixed * a[w + 2];
            part[1] += mixed * a[w + 1];
            part[2] += mixed * a[w];
            part[3] += mixed * c[w + 2];
            part[4] += mixed * c[w + 1];
            part[5] += mixed * c[w];
            part[6] += mixed * d[w + 2];
            part[7] += mixed * d[w + 1];
            part[8] += mixed * d[w];
        }
    }
    for (int i = 0; i < 9; i++)
        sums[i] += part[i];
}

/* A row's gradient of x, and its part of that of wt, 16 channels. */
static void time_back(float *to, vec *sums, const vec *x, const vec *g,
                      const float *wt, const sizes *s, long lanes)
{
    vec part0 = {0}, part1 = {0}, part2 = {0};
    const vec k0 = *(const vec *)wt, k1 = *(const vec *)(wt + s->padded);
    const vec k2 = *(const vec *)(wt + 2 * s->padded);
    for (long t = 0; t < s->t_count; t++) {
        const vec *gm = g + t * s->line + 1, *now = x + t * s->line + 1;
        for (long w = 0; w < s->width; w++) {
            vec sum = k1 * gm[w];
            part1 += gm[w] * now[w];
            if (t) {
                sum += k2 * gm[w - s->line];
                part0 += gm[w] * now[w - s->line];
            }
            if (t + 1 < s->t_count) {
                sum += k0 * gm[w + s->line];
                part2 += gm[w] * now[w + s->line];
            }
            store(to + t * s->frame + w * s->channels, sum, lanes);
        }
    }
    sums[0] += part0;
    sums[1] += part1;
    sums[2] += part2;
}

/* Gradients of x, wt and ws from g, that of F^S; wt * x is made again. */
int cstm_backward(const float *x, const float *g, float *gx, const float *wt,
                  const float *ws, float *gwt, float *gws, long n_count,
                  long t_count, long height, long width, long channels,
                  long threads)
{
    const sizes s =
        measure(n_count, t_count, height, width, channels, 5, threads);
    long fifth = s.chunk * s.row;
    int failed = 0;
#pragma omp parallel for num_threads(threads) reduction(| : failed)
    for (long b = 0; b < s.blocks; b += s.chunk) {
        vec *ring = zeros(5 * fifth + 12 * s.chunk);
        if (!ring) {
            failed = 1;
            continue;
        }
        vec *row = ring + 3 * fifth, *mixed = ring + 4 * fifth;
        vec *sums = ring + 5 * fifth; /* 3 of wt and 9 of ws each block */
        for (long n = 0; n < s.n_count; n++) {
            long start = n * s.t_count * s.frame;
            memset(ring, 0, 3 * fifth * sizeof(vec));
            read_row(ring, g + start, &s, b);
            for (long h = 0; h < s.height; h++) {
                long here = start + h * s.pixels;
                vec *next = ring + (h + 1) % 3 * fifth;
                vec *own = ring + h % 3 * fifth;
                vec *last = ring + (h + 2) % 3 * fifth;
                if (h + 1 < s.height)
                    read_row(next, g + here + s.pixels, &s, b);
                else
                    memset(next, 0, fifth * sizeof(vec));
                read_row(row, x + here, &s, b);
                for (long i = 0; i < blocks_of(&s, b); i++) {
                    long c = (b + i) * LANES, at = i * s.row;
                    space_back(mixed + at, sums + 12 * i + 3, row + at,
                               last + at, own + at, next + at, wt + c, ws + c,
                               &s);
                    time_back(gx + here + c, sums + 12 * i, row + at,
                              mixed + at, wt + c, &s, s.channels - c);
                }
            }
        }
        for (long i = 0; i < blocks_of(&s, b); i++) {
            long c = (b + i) * LANES;
            for (int k = 0; k < 3; k++)
                *(vec *)(gwt + k * s.padded + c) = sums[12 * i + k];
            for (int k = 0; k < 9; k++)
                *(vec *)(gws + k * s.padded + c) = sums[12 * i + 3 + k];
        }
        free(ring);
    }
    return failed;
}

/* F^M and F^MM (Eq. 1 and 2), no motion at t = 0, and back.
 *
 * Maps have few channels, so loops run over a row of pixels and channels at
 * once; what is per channel is repeated for every pixel of a row. A plane
 * is a frame with a zero pixel on each side.
 */
typedef struct {
    long n_count, t_count, height, c; /* clips, frames, rows, channels */
    long pixels, frame;               /* floats of a row, of a frame */
    long line, plane;                 /* the same with the zero pixels */
    long threads;
} grid;

static grid lay_out(long n_count, long t_count, long height, long width,
                    long c, long threads)
{
    grid s = {n_count, t_count, height, c, width * c};
    s.frame = height * s.pixels;
    s.line = s.pixels + 2 * c;
    s.plane = (height + 2) * s.line;
    s.threads = threads;
    return s;
}

static void repeat(float *to, const float *from, const grid *s)
{
    for (long j = 0; j < s->pixels; j += s->c)
        memcpy(to + j, from, s->c * sizeof(float));
}

/* Sum over the pixels of a row. */
static void gather(float *to, const float *from, const grid *s)
{
    for (long c = 0; c < s->c; c++) {
        double sum = 0;
        for (long j = c; j < s->pixels; j += s->c)
            sum += from[j];
        to[c] = (float)sum;
    }
}

/* The loops over a row, whose arguments the compiler knows to be apart. */

static void fill_row(float *restrict to, const float *restrict x,
                     const float *restrict a, const float *restrict b,
                     long count)
{
    for (long j = 0; j < count; j++)
        to[j] = a[j] * x[j] + b[j];
}

static void subtract_row(float *restrict to, float times,
                         const float *restrict a, const float *restrict p,
                         const float *restrict k, long line, long c,
                         long count)
{
    const float *q = p + line, *r = q + line;
    for (long j = 0; j < count; j++) {
        float top = k[j] * p[j] + k[count + j] * p[j + c] +
                    k[2 * count + j] * p[j + 2 * c];
        float mid = k[3 * count + j] * q[j] + k[4 * count + j] * q[j + c] +
                    k[5 * count + j] * q[j + 2 * c];
        float low = k[6 * count + j] * r[j] + k[7 * count + j] * r[j + c] +
                    k[8 * count + j] * r[j + 2 * c];
        to[j] = times * a[j] - (top + mid + low);
    }
}

static void correlate_row(float *restrict sum, const float *restrict g,
                          const float *restrict x, long count)
{
    for (long j = 0; j < count; j++)
        sum[j] -= g[j] * x[j];
}

/* to = a x + b; both per channel. */
static void fill(float *to, const float *x, const float *a, const float *b,
                 const grid *s)
{
#pragma omp parallel for num_threads(s->threads)
    for (long h = 0; h < s->height; h++)
        fill_row(to + (h + 1) * s->line + s->c, x + h * s->pixels, a, b,
                 s->pixels);
}

/* to = times a - k * from; k[9][pixels]. */
static void subtract(float *to, float times, const float *a,
                     const float *from, const float *k, const grid *s)
{
#pragma omp parallel for num_threads(s->threads)
    for (long h = 0; h < s->height; h++) {
        const long at = (h + 1) * s->line + s->c;
        subtract_row(to + at, times, a + at, from + h * s->line, k, s->line,
                     s->c, s->pixels);
    }
}

/* sums[9][pixels] -= g x, x shifted as k's taps shift it. */
static void correlate(float *sums, const float *g, const float *x,
                      const grid *s)
{
#pragma omp parallel for num_threads(s->threads)
    for (long i = 0; i < 9; i++)
        for (long h = 0; h < s->height; h++)
            correlate_row(sums + i * s->pixels,
                          g + (h + 1) * s->line + s->c,
                          x + (h + i / 3) * s->line + i % 3 * s->c,
                          s->pixels);
}

static void copy_out(float *to, const float *plane, const grid *s)
{
    for (long h = 0; h < s->height; h++)
        memcpy(to + h * s->pixels, plane + (h + 1) * s->line + s->c,
               s->pixels * sizeof(float));
}

/* F^M, or F^M + F^MM, from rows: F^D = a rows + b, K^PM is k[9][c]. */
int motion_forward(const float *rows, float *out, const float *a,
                   const float *b, const float *k, long n_count,
                   long t_count, long height, long width, long c, long orders,
                   long threads)
{
    const grid s = lay_out(n_count, t_count, height, width, c, threads);
    float *planes = calloc(5 * s.plane + 12 * s.pixels, sizeof(float));
    if (!planes)
        return 1;
    float *sum = planes + 4 * s.plane, *scale = planes + 5 * s.plane;
    float *shift = scale + s.pixels, *kernel = scale + 2 * s.pixels;
    repeat(scale, a, &s);
    repeat(shift, b, &s);
    for (int i = 0; i < 9; i++)
        repeat(kernel + i * s.pixels, k + i * c, &s);
    for (long n = 0; n < n_count; n++)
        for (long t = 0; t < t_count; t++) {
            long here = (n * t_count + t) * s.frame;
            float *d = planes + t % 2 * s.plane, *f = d + 2 * s.plane;
            float *d_last = planes + (t + 1) % 2 * s.plane;
            float *f_last = d_last + 2 * s.plane;
            fill(d, rows + here, scale, shift, &s);
            if (t == 0) {
                memset(f, 0, s.plane * sizeof(float));
                memset(out + here, 0, s.frame * sizeof(float));
                continue;
            }
            subtract(f, 1, d, d_last, kernel, &s);
            if (orders == 2)
                subtract(sum, 2, f, f_last, kernel, &s);
            copy_out(out + here, orders == 2 ? sum : f, &s);
        }
    free(planes);
    return 0;
}

/* Gradients of F^D, into g_d[rows], and of k; sums over pixels of g_d and
 * of g_d (rows - mean). What was F^D and F^M is made again, last frame first.
 */
int motion_backward(const float *rows, const float *g, float *g_d,
                    const float *a, const float *b, const float *k,
                    const float *mean, float *g_k, float *g_sum,
                    float *g_sum_x, long n_count, long t_count, long height,
                    long width, long c, long orders, long threads)
{
    const grid s = lay_out(n_count, t_count, height, width, c, threads);
    float *planes = calloc(8 * s.plane + 32 * s.pixels, sizeof(float));
    if (!planes)
        return 1;
    float *f = planes + 2 * s.plane, *out = planes + 3 * s.plane;
    float *g_two = planes + 4 * s.plane, *g_one = planes + 6 * s.plane;
    float *kernel = planes + 8 * s.plane;
    float *scale = kernel + 9 * s.pixels, *shift = scale + s.pixels;
    float *flipped = shift + s.pixels, *sum_k = flipped + 9 * s.pixels;
    float *sum = sum_k + 9 * s.pixels, *sum_x = sum + s.pixels;
    float *centre = sum_x + s.pixels;
    repeat(scale, a, &s);
    repeat(shift, b, &s);
    repeat(centre, mean, &s);
    for (int i = 0; i < 9; i++) {
        repeat(kernel + i * s.pixels, k + i * c, &s);
        repeat(flipped + (8 - i) * s.pixels, k + i * c, &s);
    }
    for (long n = 0; n < n_count; n++) {
        const float *x = rows + n * t_count * s.frame;
        memset(g_two, 0, 4 * s.plane * sizeof(float));
        if (t_count > 1)
            fill(planes + (t_count - 2) % 2 * s.plane,
                 x + (t_count - 2) * s.frame, scale, shift, &s);
        for (long t = t_count - 1; t >= 0; t--) {
            long here = (n * t_count + t) * s.frame;
            float *g2 = g_two + t % 2 * s.plane;
            float *g2_next = g_two + (t + 1) % 2 * s.plane;
            float *g1 = g_one + t % 2 * s.plane;
            float *g1_next = g_one + (t + 1) % 2 * s.plane;
            float *d = planes + (t + 1) % 2 * s.plane; /* t - 1 */
            float *d_last = planes + t % 2 * s.plane;  /* t - 2 */
            if (t == 0) {
                memset(g1, 0, s.plane * sizeof(float));
            } else {
                for (long h = 0; h < height; h++)
                    memcpy(g2 + (h + 1) * s.line + c,
                           g + here + h * s.pixels,
                           s.pixels * sizeof(float));
                if (orders == 2)
                    subtract(g1, 2, g2, g2_next, flipped, &s);
                else
                    memcpy(g1, g2, s.plane * sizeof(float));
                correlate(sum_k, g1, d, &s);
                if (t > 1) {
                    fill(d_last, x + (t - 2) * s.frame, scale, shift, &s);
                    if (orders == 2) {
                        subtract(f, 1, d, d_last, kernel, &s);
                        correlate(sum_k, g2, f, &s);
                    }
                }
            }
            subtract(out, 1, g1, g1_next, flipped, &s);
            copy_out(g_d + here, out, &s);
            for (long h = 0; h < height; h++) {
                const float *o = g_d + here + h * s.pixels;
                const float *p = rows + here + h * s.pixels;
                for (long j = 0; j < s.pixels; j++) {
                    sum[j] += o[j];
                    sum_x[j] += o[j] * (p[j] - centre[j]);
                }
            }
        }
    }
    for (int i = 0; i < 9; i++)
        gather(g_k + i * c, sum_k + i * s.pixels, &s);
    gather(g_sum, sum, &s);
    gather(g_sum_x, sum_x, &s);
    free(planes);
    return 0;
}

/* Mean and (biased) variance of each channel over rows of pixels. */
int moments(const float *x, float *mean, float *variance, long row_count,
            long width, long c)
{
    const grid s = lay_out(1, 1, row_count, width, c, 1);
    float *sum = calloc(2 * s.pixels, sizeof(float));
    if (!sum)
        return 1;
    float *centre = sum + s.pixels;
    for (int pass = 0; pass < 2; pass++) {
        for (long h = 0; h < row_count; h++)
            for (long j = 0; j < s.pixels; j++) {
                float d = x[h * s.pixels + j] - centre[j];
                sum[j] += pass ? d * d : d;
            }
        float *result = pass ? variance : mean;
        gather(result, sum, &s);
        for (long i = 0; i < c; i++)
            result[i] /= row_count * width;
        repeat(centre, mean, &s);
        memset(sum, 0, s.pixels * sizeof(float));
    }
    free(sum);
    return 0;
}

/* y = a y + b x + d, each per channel. */
int combine(float *restrict y, const float *restrict x, const float *a,
            const float *b, const float *d, long row_count, long width,
            long c)
{
    const grid s = lay_out(1, 1, row_count, width, c, 1);
    float *each = malloc(3 * s.pixels * sizeof(float));
    if (!each)
        return 1;
    repeat(each, a, &s);
    repeat(each + s.pixels, b, &s);
    repeat(each + 2 * s.pixels, d, &s);
    for (long h = 0; h < row_count; h++) {
        float *o = y + h * s.pixels;
        const float *p = x + h * s.pixels;
        for (long j = 0; j < s.pixels; j++)
            o[j] = each[j] * o[j] + each[s.pixels + j] * p[j] +
                   each[2 * s.pixels + j];
    }
    free(each);
    return 0;
}
