/* The frame of a batch module around work whose order in time is known: blocks that come first
   take longest, so that all others are done before them. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BLOCKS 12
#define NUMBERS 64

static int refuse_threads, refuse_memory, failed;
static int refusing_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *g)
{
    return refuse_threads ? 11 : (pthread_create)(t, a, f, g);
}
#define pthread_create refusing_create
#define malloc(size) (refuse_memory ? NULL : (malloc)(size))

#include "frame.h"

typedef struct {
    size_t order[BLOCKS], added;
    int done[BLOCKS];
} given;

static void block(void *arguments, k_crew *crew, real *scratch, size_t b0)
{
    given *all = arguments;
    size_t number = b0/K_BLOCK;
    for (int i = 0; i < NUMBERS; i++) scratch[i] = number;
    usleep((BLOCKS - number)*500);
    for (int i = 0; i < NUMBERS; i++)
        if (scratch[i] != number) __atomic_store_n(&failed, 1, __ATOMIC_RELAXED);
    k_wait(crew, b0);
    all->order[all->added++] = number;
    k_pass(crew);
    all->done[number]++;
}

static void share(size_t threads, const char *how)
{
    given all;
    memset(&all, 0, sizeof all);
    real *scratch = (calloc)(threads*NUMBERS, sizeof(real));
    k_share(block, &all, BLOCKS*K_BLOCK - 1, scratch, NUMBERS, threads);
    free(scratch);
    printf("%s, %zu threads:", how, threads);
    for (int i = 0; i < BLOCKS; i++) printf(" %zu", all.order[i]);
    for (int i = 0; i < BLOCKS; i++) failed |= all.done[i] != 1;
    printf("%s\n", failed ? " scratch was shared, or a block was not done once" : "");
}

int main(void)
{
    size_t counts[] = {1, 2, 3, 7, BLOCKS};
    for (int i = 0; i < 5; i++) {
        share(counts[i], "with");
        refuse_threads = 1;
        share(counts[i], "refused");
        refuse_memory = 1;
        share(counts[i], "without memory");
        refuse_threads = refuse_memory = 0;
    }
    usleep(100000); /* for helpers that were late, so that a checker of leaks sees none */
    return failed;
}
