/* Motion blocks (Sec. 2.1 and 2.2) in float32: what is handed from Python to
 * C, and what the files here hand to each other.
 *
 * Maps are channels-last: x[clip][frame][row][column][channel], of C channels
 * or of c, about C/16; rows of pixels are [pixels][c]. Functions that return
 * an int return 0, or 1 without memory.
 */

#ifndef BLOCK_H
#define BLOCK_H

/* library.py mirrors the next five. */

typedef struct {
    long clips, frames, height, width, channels;
} shape;

typedef struct {
    shape x;
    long columns; /* c, the channels of motion; 0 for CSTM alone */
    long orders;  /* of motion: 1, F^M; or 2, F^M + F^MM */
    long rectify; /* x goes through a ReLU first */
    long batch;   /* the norm takes the moments of the batch */
    long threads;
    double eps; /* of the norm */
} options;

/* Weights as PyTorch has them, or their gradients. */
typedef struct {
    float *temporal;    /* [C][3] */
    float *spatial;     /* [C][9] */
    float *reduce;      /* [c][C] */
    float *expand;      /* [C][c] */
    float *k_pm;        /* [c][9] */
    float *norm_weight; /* [c] */
    float *norm_bias;   /* [c] */
} weights;

/* What lies between x and y, or its gradients. */
typedef struct {
    float *reduced, *motion; /* [pixels][c] */
    float *mean, *variance;  /* [c], of reduced; they have no gradients */
} inner;

/* A matrix between C channels and c columns, c much smaller; the number of
 * channel k and column j is at k * by_channel + j * by_column. */
typedef struct {
    float *at;
    long channels, columns, by_channel, by_column;
} matrix;

/* Batch normalisation as a x + b, each [c]. */
typedef struct {
    float *a, *b;
} affine;

/* cstm.c: y = spatial * (temporal * x) + rows M^T, which is F^S and the
 * motion, expanded. */
int sum_forward(const options *o, const weights *w, const float *x,
                const float *rows, const matrix *m, float *y);

/* Gradients of x, temporal and spatial from g_y. Added to that of x:
 * rows M^T, the reduction's share. */
int sum_backward(const options *o, const weights *w, const float *x,
                 const float *g_y, const float *rows, const matrix *m,
                 float *g_x, const weights *g);

/* products.c: y[rows][c] = x[rows][C] M. */
int narrow(const float *x, const matrix *m, float *y, long rows,
           int rectify, long threads);

/* M = x^T a, of a[rows][c] and x[rows][C]. */
int outer(const float *a, const float *x, const matrix *m, long rows,
          int rectify, long threads);

/* motion.c: F^M, or F^M + F^MM, from F^D = a reduced + b. */
int motion_forward(const options *o, const affine *norm, const float *k_pm,
                   const inner *made);

/* From g.motion: gradients of F^D, into g.reduced, and of K^PM, into
 * g_w.k_pm; sums over pixels of the former, into g_w.norm_bias, and of it
 * times (reduced - mean), into g_w.norm_weight. */
int motion_backward(const options *o, const affine *norm, const float *k_pm,
                    const inner *made, const inner *g, const weights *g_w);

#endif
