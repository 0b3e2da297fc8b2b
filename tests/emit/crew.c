/* The frame of a module for threads, around work whose order in time is known: blocks that come
   first take longest, so that all others are done before them; and threads that do blocks together
   arrive where they meet at different times. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BLOCKS 12
#define NUMBERS 64
#define STEPS 200

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

static void block(void *arguments, k_crew *crew, real *scratch, size_t b0, size_t thread,
                  size_t threads)
{
    given *all = arguments;
    size_t number = b0/K_BLOCK;
    failed |= thread || threads != 1;
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
    k_share(block, &all, BLOCKS*K_BLOCK - 1, scratch, NUMBERS, threads, 1, 0);
    free(scratch);
    printf("%s, %zu threads:", how, threads);
    for (int i = 0; i < BLOCKS; i++) printf(" %zu", all.order[i]);
    for (int i = 0; i < BLOCKS; i++) failed |= all.done[i] != 1;
    printf("%s\n", failed ? " scratch was shared, or a block was not done once" : "");
}

/* Each thread says in its place how far it is. Behind a meeting all are as far, or a step on. */
static void step_by_step(void *arguments, k_crew *crew, real *scratch, size_t b0, size_t thread,
                         size_t threads)
{
    given *all = arguments;
    for (size_t step = 1; step <= STEPS; step++) {
        if (step % 7 == thread) usleep(300); /* longer than one looks without sleeping */
        __atomic_store_n(&all->order[thread], b0*STEPS + step, __ATOMIC_RELAXED);
        k_meet(crew);
        for (size_t other = 0; other < threads; other++)
            if (__atomic_load_n(&all->order[other], __ATOMIC_RELAXED) != b0*STEPS + step)
                __atomic_store_n(&failed, 1, __ATOMIC_RELAXED);
        k_meet(crew);
    }
    if (thread == 0) all->added = all->added > threads ? all->added : threads;
    k_meet(crew);
    if (b0 == 0) __atomic_fetch_add(&all->done[thread], 1, __ATOMIC_RELAXED);
    if (scratch[0] != 7) failed = 1;
}

static void together(size_t threads, size_t grains, const char *how)
{
    given all;
    memset(&all, 0, sizeof all);
    real scratch = 7;
    k_share(step_by_step, &all, 2*K_BLOCK, &scratch, 1, threads, grains, 1);
    size_t those = 0;
    for (int i = 0; i < BLOCKS; i++) those += all.done[i];
    failed |= those != all.added;
    printf("%s, %zu of %zu together: %zu%s\n", how, threads, grains, those,
           failed ? " did not wait for each other" : "");
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
    together(1, 4, "with");
    together(2, 4, "with");
    together(3, 4, "with");
    together(9, 4, "with");
    refuse_threads = 1;
    together(3, 4, "refused");
    refuse_memory = 1;
    together(3, 4, "without memory");
    usleep(100000); /* for helpers that were late, so that a checker of leaks sees none */
    return failed;
}
