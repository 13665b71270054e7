/* Memory for vectors. */

#include "vectors.h"

#include <pthread.h>
#include <stdlib.h>

vec *zeros(long count)
{
    vec *v = aligned_alloc(sizeof(vec), most(count, 1) * sizeof(vec));
    if (v)
        memset(v, 0, count * sizeof(vec));
    return v;
}

/* A thread keeps its memory for what it does next, since pages that are new
 * to a process cost more than what is done in them. */
typedef struct {
    long count;
    vec *v;
} kept;

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void give_back(void *of)
{
    free(((kept *)of)->v);
    free(of);
}

static void make_key(void) { pthread_key_create(&key, give_back); }

vec *scratch(long count)
{
    pthread_once(&once, make_key);
    kept *own = pthread_getspecific(key);
    if (!own) {
        own = calloc(1, sizeof *own);
        if (!own || pthread_setspecific(key, own)) {
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
