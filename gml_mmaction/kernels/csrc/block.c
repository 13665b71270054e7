/* The functions that Python calls: CSTM alone, a motion block, and back. */

#include "block.h"
#include "vectors.h"

#include <stdlib.h>

#define PUBLIC __attribute__((visibility("default")))

/* Batch normalisation goes over rows of maps, pixels and channels at once:
 * what is per channel is repeated for every pixel of a row. */

static void repeat(float *to, const float *from, long columns, long floats)
{
    memcpy(to, from, columns * sizeof(float));
    for (long j = columns; j < floats; j += columns)
        memcpy(to + j, to, columns * sizeof(float));
}

/* Sum over the pixels of a row. */
static void gather(float *to, const float *from, long columns, long floats)
{
    for (long i = 0; i < columns; i++) {
        double sum = 0;
        for (long j = i; j < floats; j += columns)
            sum += from[j];
        to[i] = (float)sum;
    }
}

static long count_rows(const options *o)
{
    return o->x.clips * o->x.frames * o->x.height;
}

/* Mean and (biased) variance of each column of reduced. */
static int moments(const options *o, const inner *made)
{
    long rows = count_rows(o), columns = o->columns;
    long floats = o->x.width * columns;
    float *sum = calloc(2 * floats, sizeof(float));
    if (!sum)
        return 1;
    float *centre = sum + floats;
    for (int pass = 0; pass < 2; pass++) {
#pragma omp parallel for num_threads(o->threads)
        for (long i = 0; i < o->threads; i++) {
            long begin = floats * i / o->threads;
            long end = floats * (i + 1) / o->threads;
            for (long h = 0; h < rows; h++)
                for (long j = begin; j < end; j++) {
                    float d = made->reduced[h * floats + j] - centre[j];
                    sum[j] += pass ? d * d : d;
                }
        }
        float *result = pass ? made->variance : made->mean;
        gather(result, sum, columns, floats);
        for (long i = 0; i < columns; i++)
            result[i] /= rows * o->x.width;
        repeat(centre, made->mean, columns, floats);
        memset(sum, 0, floats * sizeof(float));
    }
    free(sum);
    return 0;
}

/* y = a y + b x + d, each per column. */
static int combine(const options *o, float *restrict y,
                   const float *restrict x, const float *a, const float *b,
                   const float *d)
{
    long rows = count_rows(o), floats = o->x.width * o->columns;
    float *each = malloc(3 * floats * sizeof(float));
    if (!each)
        return 1;
    repeat(each, a, o->columns, floats);
    repeat(each + floats, b, o->columns, floats);
    repeat(each + 2 * floats, d, o->columns, floats);
#pragma omp parallel for num_threads(o->threads)
    for (long h = 0; h < rows; h++) {
        float *to = y + h * floats;
        const float *from = x + h * floats;
        for (long j = 0; j < floats; j++)
            to[j] = each[j] * to[j] + each[floats + j] * from[j] +
                    each[2 * floats + j];
    }
    free(each);
    return 0;
}

/* The norm, from the moments of its input; a.b is within a's memory, which
 * is to be freed and has as much again for the way back. */
static affine normalise(const options *o, const weights *w,
                        const inner *made)
{
    affine norm = {malloc(4 * o->columns * sizeof(float))};
    if (!norm.a)
        return norm;
    norm.b = norm.a + o->columns;
    for (long i = 0; i < o->columns; i++) {
        norm.a[i] =
            (float)(w->norm_weight[i] / sqrt(made->variance[i] + o->eps));
        norm.b[i] = w->norm_bias[i] - made->mean[i] * norm.a[i];
    }
    return norm;
}

/* g.reduced, of F^D, becomes that of reduced; the sums in g_w become the
 * gradients of the norm. */
static int normalise_back(const options *o, const affine *norm,
                          const inner *made, const inner *g,
                          const weights *g_w)
{
    float *by_x = norm->b + o->columns, *rest = by_x + o->columns;
    long pixels = count_rows(o) * o->x.width;
    for (long i = 0; i < o->columns; i++) {
        double inverse = 1 / sqrt(made->variance[i] + o->eps);
        g_w->norm_weight[i] = (float)(g_w->norm_weight[i] * inverse);
        by_x[i] = rest[i] = 0;
        if (o->batch) { /* through the mean and the variance */
            by_x[i] = -norm->a[i] * inverse * g_w->norm_weight[i] / pixels;
            rest[i] = -norm->a[i] * g_w->norm_bias[i] / pixels -
                      by_x[i] * made->mean[i];
        }
    }
    return combine(o, g->reduced, made->reduced, norm->a, by_x, rest);
}

static matrix reduction(const options *o, const weights *w)
{
    return (matrix){w->reduce, o->x.channels, o->columns, 1, o->x.channels};
}

static matrix expansion(const options *o, const weights *w)
{
    return (matrix){w->expand, o->x.channels, o->columns, o->columns, 1};
}

/* CSTM alone. */
PUBLIC int cstm_forward(const options *o, const weights *w, const float *x,
                        float *y)
{
    const matrix none = {.channels = o->x.channels};
    return sum_forward(o, w, x, NULL, &none, y);
}

PUBLIC int cstm_backward(const options *o, const weights *w, const float *x,
                         const float *g_y, float *g_x, const weights *g_w)
{
    const matrix none = {.channels = o->x.channels};
    return sum_backward(o, w, x, g_y, NULL, &none, g_x, g_w);
}

/* A block: y and, on the way, made; the moments are given unless they are
 * those of the batch. */
PUBLIC int block_forward(const options *o, const weights *w, const float *x,
                         const inner *made, float *y)
{
    const matrix reduce = reduction(o, w), expand = expansion(o, w);
    long pixels = count_rows(o) * o->x.width;
    if (narrow(x, &reduce, made->reduced, pixels, o->rectify, o->threads) ||
        (o->batch && moments(o, made)))
        return 1;
    affine norm = normalise(o, w, made);
    int failed = !norm.a || motion_forward(o, &norm, w->k_pm, made) ||
                 sum_forward(o, w, x, made->motion, &expand, y);
    free(norm.a);
    return failed;
}

/* Its gradients; those of reduce and expand may be NULL, and g is memory. */
PUBLIC int block_backward(const options *o, const weights *w, const float *x,
                          const inner *made, const float *g_y, float *g_x,
                          const weights *g_w, const inner *g)
{
    const matrix reduce = reduction(o, w), expand = expansion(o, w);
    const matrix g_reduce = reduction(o, g_w), g_expand = expansion(o, g_w);
    long pixels = count_rows(o) * o->x.width;
    affine norm = normalise(o, w, made);
    int failed =
        !norm.a ||
        narrow(g_y, &expand, g->motion, pixels, 0, o->threads) ||
        motion_backward(o, &norm, w->k_pm, made, g, g_w) ||
        normalise_back(o, &norm, made, g, g_w) ||
        sum_backward(o, w, x, g_y, g->reduced, &reduce, g_x, g_w) ||
        (g_w->reduce && outer(g->reduced, x, &g_reduce, pixels, o->rectify,
                              o->threads)) ||
        (g_w->expand &&
         outer(made->motion, g_y, &g_expand, pixels, 0, o->threads));
    free(norm.a);
    return failed;
}
