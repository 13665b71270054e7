/* Vectors of 16 floats, and memory for them.
 *
 * Maps are channels-last, so that a vector holds neighbouring channels of a
 * pixel. Lanes are those of a vector that count; the others are zero.
 */

#ifndef VECTORS_H
#define VECTORS_H

#include <math.h>
#include <string.h>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

enum { LANES = 16 };

typedef float vec __attribute__((vector_size(64), aligned(4)));
typedef float half_vec __attribute__((vector_size(32), aligned(4)));
typedef int mask __attribute__((vector_size(64)));

#define INLINE static inline __attribute__((always_inline))

INLINE long least(long a, long b) { return a < b ? a : b; }
INLINE long most(long a, long b) { return a > b ? a : b; }

/* How many pieces of at most this size there are; the last may be smaller. */
INLINE long pieces_of(long all, long size) { return (all + size - 1) / size; }

/* Zeros that begin with a cache line, to be freed; NULL without memory. */
vec *zeros(long count);

/* The same, kept by this thread and valid until it asks again. */
vec *scratch(long count);

INLINE vec load(const float *from, long lanes)
{
    vec v = {0};
    if (lanes >= LANES)
        return *(const vec *)from;
    if (lanes == LANES / 2)
        return __builtin_shufflevector(*(const half_vec *)from, (half_vec){0},
                                       0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
                                       12, 13, 14, 15);
    memcpy(&v, from, lanes * sizeof(float));
    return v;
}

INLINE void store(float *to, vec v, long lanes)
{
    if (lanes >= LANES)
        *(vec *)to = v;
    else if (lanes == LANES / 2)
        *(half_vec *)to =
            __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7);
    else
        memcpy(to, &v, lanes * sizeof(float));
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

/* What is below the floor is raised to it; NaN stays. */
INLINE vec raised(vec v, vec floor)
{
#ifdef __AVX512F__
    return (vec)_mm512_max_ps((__m512)floor, (__m512)v);
#else
    mask below = v < floor;
    return (vec)(((mask)v & ~below) | ((mask)floor & below));
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
INLINE void settle(void)
{
#ifdef __AVX512F__
    _mm_sfence();
#endif
}

#endif
