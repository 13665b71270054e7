/* F^M and F^MM (Eq. 1 and 2), no motion at t = 0, and back.
 *
 * Maps of few channels are worked on in planes: frames with zeros around,
 * whose pixels have a power of two of channels up to 16, or a multiple of 16,
 * so that every vector of a row has its own weights, or the next of a few.
 */

#include "block.h"
#include "vectors.h"

#include <stdlib.h>

enum { TAPS = 9 };

typedef struct {
    long frames, height, width, columns; /* columns are a map's channels */
    long row_floats, frame_floats;       /* of a map */
    long pitch;  /* floats of a plane's pixel */
    long step;   /* floats after which weights repeat */
    long groups; /* vectors of a step */
    long steps;  /* of a row */
    long line;   /* floats of a plane's row */
    long plane;  /* floats of a plane */
} grid;

/* A grid of this many rows of each frame. */
static grid lay_out(const options *o, long height)
{
    grid s = {o->x.frames, height, o->x.width, o->columns};
    s.row_floats = s.width * s.columns;
    s.frame_floats = o->x.height * s.row_floats;
    s.pitch = LANES % s.columns ? pieces_of(s.columns, LANES) * LANES
                                : s.columns;
    s.step = most(s.pitch, LANES);
    s.groups = s.step / LANES;
    s.steps = pieces_of(s.width * s.pitch, s.step);
    s.line = (s.steps + 2) * s.step; /* zeros on both sides */
    s.plane = (height + 2) * s.line;
    return s;
}

/* The column that lane i of a step holds; those beyond are none. */
static long column_at(long i, const grid *s)
{
    return s->pitch < LANES ? i % s->columns : i;
}

/* A number per column, found apart floats from each other, as vectors. */
static void spread(vec *to, const float *from, long apart, const grid *s)
{
    for (long i = 0; i < s->step; i++) {
        long c = column_at(i, s);
        to[i / LANES][i % LANES] = c < s->columns ? from[c * apart] : 0;
    }
}

/* K^PM as [groups][TAPS]; flipped, as gradients go through it. */
static void spread_kernel(vec *to, const float *k_pm, int flipped,
                          const grid *s)
{
    vec one[s->groups];
    for (int i = 0; i < TAPS; i++) {
        spread(one, k_pm + (flipped ? TAPS - 1 - i : i), TAPS, s);
        for (long g = 0; g < s->groups; g++)
            to[TAPS * g + i] = one[g];
    }
}

/* Where vector g of step i is in a row of a map. */
INLINE long place(long i, long g, const grid *s)
{
    return i * (s->pitch < LANES ? LANES : s->columns) + g * LANES;
}

/* What is behind a row's last pixel stays zero. */
INLINE void end_row(float *row, const grid *s)
{
    long used = s->width * s->pitch;
    if (used < s->steps * s->step)
        memset(row + s->step + used, 0,
               (s->steps * s->step - used) * sizeof(float));
}

/* A plane's row = a x + b of a map's row. */
static void fill_row(float *to, const float *x, const vec *a, const vec *b,
                     const grid *s)
{
    for (long i = 0; i < s->steps; i++)
        for (long g = 0; g < s->groups; g++) {
            long at = place(i, g, s);
            *(vec *)(to + (i + 1) * s->step + g * LANES) =
                a[g] * load(x + at, s->row_floats - at) + b[g];
        }
    end_row(to, s);
}

/* The way back; a vector's surplus is written over by the next pixel. */
static void copy_row(float *to, const float *row, const grid *s)
{
    for (long i = 0; i < s->steps; i++)
        for (long g = 0; g < s->groups; g++) {
            long at = place(i, g, s);
            store(to + at,
                  *(const vec *)(row + (i + 1) * s->step + g * LANES),
                  s->row_floats - at);
        }
}

/* A row = times now - kernel * before. */
static void subtract_row(float *to, float times, const float *now,
                         const float *before, const vec *kernel,
                         const grid *s)
{
    for (long g = 0; g < s->groups; g++) {
        const vec *k = kernel + TAPS * g;
        for (long i = 0; i < s->steps; i++) {
            long at = (i + 1) * s->step + g * LANES;
            vec sum[3];
            for (int r = 0; r < 3; r++) {
                const float *p = before + at + (r - 1) * s->line;
                sum[r] = k[3 * r] * *(const vec *)(p - s->pitch) +
                         k[3 * r + 1] * *(const vec *)p +
                         k[3 * r + 2] * *(const vec *)(p + s->pitch);
            }
            *(vec *)(to + at) = times * *(const vec *)(now + at) -
                                (sum[0] + sum[1] + sum[2]);
        }
    }
    end_row(to, s);
}

/* sums[groups][TAPS] -= g x over a row, x shifted as the taps shift it. */
static void correlate_row(vec *sums, const float *g, const float *x,
                          const grid *s)
{
    for (long j = 0; j < s->groups; j++) {
        vec sum[TAPS] = {{0}};
        for (long i = 0; i < s->steps; i++) {
            long at = (i + 1) * s->step + j * LANES;
            for (int k = 0; k < TAPS; k++)
                sum[k] += *(const vec *)(g + at) *
                          *(const vec *)(x + at + (k / 3 - 1) * s->line +
                                         (k % 3 - 1) * s->pitch);
        }
        for (int k = 0; k < TAPS; k++)
            sums[TAPS * j + k] -= sum[k];
    }
}

/* sums[groups][2] += g and g (x - mean) over a row; x is of a map. */
static void add_row(vec *sums, const float *g, const float *x,
                    const vec *mean, const grid *s)
{
    for (long j = 0; j < s->groups; j++) {
        vec sum = {0}, sum_x = {0};
        for (long i = 0; i < s->steps; i++) {
            long at = place(i, j, s);
            vec own = *(const vec *)(g + (i + 1) * s->step + j * LANES);
            sum += own;
            sum_x += own * (load(x + at, s->row_floats - at) - mean[j]);
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
        fill_row(to + (h + 1) * s->line, x + h * s->row_floats, a, b, s);
}

static void subtract(float *to, float times, const float *now,
                     const float *before, const vec *kernel, const grid *s)
{
    for (long h = 1; h <= s->height; h++)
        subtract_row(to + h * s->line, times, now + h * s->line,
                     before + h * s->line, kernel, s);
}

/* Rows of a clip that a thread works on, and orders more around them: it
 * makes what it needs of its neighbours' rows itself, and waits for none. */
typedef struct {
    long top, begin, end, bottom;
} band;

static band band_at(long piece, long pieces, const options *o)
{
    long height = o->x.height;
    band r = {0, piece * height / pieces, (piece + 1) * height / pieces};
    r.top = most(r.begin - o->orders, 0);
    r.bottom = least(r.end + o->orders, height);
    return r;
}

/* How many bands a clip has. */
static long count_bands(const options *o)
{
    return least(pieces_of(o->threads, o->x.clips), o->x.height);
}

/* A band of F^M, or of F^M + F^MM, from reduced; of one clip. */
static int band_forward(const options *o, const affine *norm,
                        const float *k_pm, const float *reduced,
                        float *motion, band r)
{
    const grid s = lay_out(o, r.bottom - r.top);
    vec *a = scratch((2 + TAPS) * s.groups + (4 * s.plane + s.line) / LANES);
    if (!a)
        return 1;
    vec *b = a + s.groups, *kernel = b + s.groups;
    float *planes = (float *)(kernel + TAPS * s.groups);
    float *row = planes + 4 * s.plane;
    spread(a, norm->a, 1, &s);
    spread(b, norm->b, 1, &s);
    spread_kernel(kernel, k_pm, 0, &s);
    for (long t = 0; t < s.frames; t++) {
        float *to = motion + t * s.frame_floats + r.begin * s.row_floats;
        float *d = planes + t % 2 * s.plane, *m = d + 2 * s.plane;
        float *d_before = planes + (t + 1) % 2 * s.plane;
        float *m_before = d_before + 2 * s.plane;
        fill(d, reduced + t * s.frame_floats + r.top * s.row_floats, a, b,
             &s);
        if (t == 0) { /* F^M is zero */
            memset(to, 0, (r.end - r.begin) * s.row_floats * sizeof(float));
            continue;
        }
        subtract(m, 1, d, d_before, kernel, &s); /* Eq. 1 */
        for (long h = r.begin; h < r.end; h++, to += s.row_floats) {
            long at = (h - r.top + 1) * s.line;
            if (o->orders == 2) /* F^M + F^MM, Eq. 2 */
                subtract_row(row, 2, m + at, m_before + at, kernel, &s);
            copy_row(to, o->orders == 2 ? row : m + at, &s);
        }
    }
    return 0;
}

int motion_forward(const options *o, const affine *norm, const float *k_pm,
                   const inner *made)
{
    const long clip_floats =
        o->x.frames * o->x.height * o->x.width * o->columns;
    long bands = count_bands(o);
    int failed = 0;
#pragma omp parallel for num_threads(o->threads) reduction(| : failed)
    for (long i = 0; i < o->x.clips * bands; i++) {
        long clip = i / bands * clip_floats;
        failed |= band_forward(o, norm, k_pm, made->reduced + clip,
                               made->motion + clip,
                               band_at(i % bands, bands, o));
    }
    return failed;
}

/* What a band adds up, [TOTALS][step]: gradients of K^PM's taps, and sums
 * over pixels of the gradient of F^D, alone and times (reduced - mean). */
enum { TOTALS = TAPS + 2 };

static void add_totals(double *totals, const vec *sums, const grid *s)
{
    for (long i = 0; i < s->step; i++) {
        long j = i / LANES, lane = i % LANES;
        for (long k = 0; k < TAPS; k++)
            totals[k * s->step + i] += sums[TAPS * j + k][lane];
        for (long k = 0; k < 2; k++)
            totals[(TAPS + k) * s->step + i] +=
                sums[TAPS * s->groups + 2 * j + k][lane];
    }
}

/* A band of the gradient of F^D, into g.reduced, and its totals; of one clip.
 * What was F^D and F^M is made again, last frame first. */
static int band_back(const options *o, const affine *norm, const float *k_pm,
                     const inner *made, const inner *g, double *totals,
                     band r)
{
    const grid s = lay_out(o, r.bottom - r.top);
    const long vectors = (5 + 2 * TAPS + TOTALS - 1) * s.groups;
    vec *a = scratch(vectors + (7 * s.plane + s.line) / LANES);
    if (!a)
        return 1;
    vec *b = a + s.groups, *mean = b + s.groups, *zero = mean + s.groups;
    vec *one = zero + s.groups, *kernel = one + s.groups;
    vec *flipped = kernel + TAPS * s.groups, *sums = flipped + TAPS * s.groups;
    float *planes = (float *)(a + vectors);
    float *f_m = planes + 2 * s.plane, *g_mm = planes + 3 * s.plane;
    float *g_m = planes + 5 * s.plane, *row = planes + 7 * s.plane;
    const float unit = 1;
    spread(a, norm->a, 1, &s);
    spread(b, norm->b, 1, &s);
    spread(mean, made->mean, 1, &s);
    spread(one, &unit, 0, &s);
    spread_kernel(kernel, k_pm, 0, &s);
    spread_kernel(flipped, k_pm, 1, &s);
    const float *reduced = made->reduced + r.top * s.row_floats;
    const float *g_motion = g->motion + r.top * s.row_floats;
    float *g_reduced = g->reduced + r.top * s.row_floats;
    if (s.frames > 1)
        fill(planes + (s.frames - 2) % 2 * s.plane,
             reduced + (s.frames - 2) * s.frame_floats, a, b, &s);
    for (long t = s.frames - 1; t >= 0; t--) {
        float *g2 = g_mm + t % 2 * s.plane;
        float *g2_after = g_mm + (t + 1) % 2 * s.plane;
        float *g1 = g_m + t % 2 * s.plane;
        float *g1_after = g_m + (t + 1) % 2 * s.plane;
        float *d1 = planes + (t + 1) % 2 * s.plane; /* F^D of t - 1 */
        float *d2 = planes + t % 2 * s.plane;       /* and of t - 2 */
        memset(sums, 0, TOTALS * s.groups * sizeof(vec));
        if (t == 0) {
            memset(g1, 0, s.plane * sizeof(float));
        } else {
            fill(g2, g_motion + t * s.frame_floats, one, zero, &s);
            if (o->orders == 2)
                subtract(g1, 2, g2, g2_after, flipped, &s);
            else
                memcpy(g1, g2, s.plane * sizeof(float));
        }
        if (t > 1) {
            fill(d2, reduced + (t - 2) * s.frame_floats, a, b, &s);
            if (o->orders == 2)
                subtract(f_m, 1, d1, d2, kernel, &s);
        }
        for (long h = r.begin - r.top; h < r.end - r.top; h++) {
            long at = (h + 1) * s.line;
            long here = t * s.frame_floats + h * s.row_floats;
            if (t > 0)
                correlate_row(sums, g1 + at, d1 + at, &s);
            if (t > 1 && o->orders == 2)
                correlate_row(sums, g2 + at, f_m + at, &s);
            subtract_row(row, 1, g1 + at, g1_after + at, flipped, &s);
            copy_row(g_reduced + here, row, &s);
            add_row(sums + TAPS * s.groups, row, reduced + here, mean, &s);
        }
        add_totals(totals, sums, &s);
    }
    return 0;
}

/* Bands' totals, the first of which takes them all, as gradients. */
static void add_up(double *totals, long count, const grid *s,
                   const weights *g_w)
{
    const long own = TOTALS * s->step;
    for (long i = own; i < count * own; i++)
        totals[i % own] += totals[i];
    for (long c = 0; c < s->columns; c++)
        for (long k = 0; k < TOTALS; k++) {
            double sum = 0;
            for (long i = 0; i < s->step; i++)
                if (column_at(i, s) == c)
                    sum += totals[k * s->step + i];
            if (k < TAPS)
                g_w->k_pm[TAPS * c + k] = (float)sum;
            else
                (k == TAPS ? g_w->norm_bias : g_w->norm_weight)[c] =
                    (float)sum;
        }
}

int motion_backward(const options *o, const affine *norm, const float *k_pm,
                    const inner *made, const inner *g, const weights *g_w)
{
    const grid s = lay_out(o, o->x.height);
    long bands = count_bands(o), count = o->x.clips * bands;
    double *totals = calloc(count * TOTALS * s.step, sizeof(double));
    int failed = !totals;
#pragma omp parallel for num_threads(o->threads) reduction(| : failed)
    for (long i = 0; i < (totals ? count : 0); i++) {
        long clip = i / bands * s.frames * s.frame_floats;
        const inner own = {made->reduced + clip, made->motion + clip,
                           made->mean, made->variance};
        const inner own_g = {g->reduced + clip, g->motion + clip};
        failed |= band_back(o, norm, k_pm, &own, &own_g,
                            totals + i * TOTALS * s.step,
                            band_at(i % bands, bands, o));
    }
    if (!failed)
        add_up(totals, count, &s, g_w);
    free(totals);
    return failed;
}
