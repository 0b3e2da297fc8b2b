"""The fixed frame of an emitted module: types, and the threads that share a batch.

Only these texts are templates; everything that depends on a network is built from its Program.
"""

from __future__ import annotations

from string import Template

DIRECTIVES = (
    "# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True\n"
    "# cython: initializedcheck=False, binding=False, auto_pickle=False\n"
)

C_TYPES = Template("""\
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(_MSC_VER)
#define K_RESTRICT __restrict
#else
#define K_RESTRICT restrict
#endif
typedef $real real;
typedef const real *K_RESTRICT real_in;
typedef real *K_RESTRICT real_out;
""")

C_WIDE = """\
typedef double wide;
typedef wide *K_RESTRICT wide_out;
"""

C_WIDE_LANES = """\
typedef wide wide_lane
    __attribute__((vector_size(LANES*sizeof(wide)), aligned(LANES*sizeof(real))));
typedef wide_lane *K_RESTRICT wide_lane_out;
#define k_widen(a) __builtin_convertvector(a, wide_lane)
#define k_narrow(a) __builtin_convertvector(a, lane)
"""


C_THREADS = """\
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>
/* Threads share the blocks of a batch: each takes the next that nobody has. What is summed over
   the batch is added in the blocks' order, whoever is done first. Or they do one block together,
   each the units that are its own. Either way results are the same to the last bit however many
   threads there are. */
typedef struct k_crew k_crew;
typedef void (*k_work)(void *arguments, k_crew *crew, real *scratch, size_t b0, size_t thread,
                       size_t threads);
struct k_crew {
    k_work work;
    void *arguments;
    real *scratch;
    size_t each, blocks, next, turn, done, members, seats, present, ready;
    int together, patient;
    size_t here, round, asleep;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};
static void k_count(k_crew *crew, size_t *count)
{
    if (crew->members == 1) return;
    pthread_mutex_lock(&crew->lock);
    __atomic_store_n(count, *count + 1, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&crew->changed);
    pthread_mutex_unlock(&crew->lock);
}
/* Sleeping is not worth it at once: to be woken takes as long as most waits. */
static void k_until(k_crew *crew, size_t *count, size_t reached)
{
    struct timespec began, now;
    if (crew->members == 1) return;
    clock_gettime(CLOCK_MONOTONIC, &began);
    do {
        if (__atomic_load_n(count, __ATOMIC_ACQUIRE) == reached) return;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - began.tv_sec)*1000000000LL + now.tv_nsec - began.tv_nsec < 50000);
    pthread_mutex_lock(&crew->lock);
    while (*count != reached) pthread_cond_wait(&crew->changed, &crew->lock);
    pthread_mutex_unlock(&crew->lock);
}
static inline int k_alone(k_crew *crew) { return crew->members == 1 || crew->together; }
/* Around the adding of a block's results. Who waits has a block, and of the blocks that somebody
   has the first never waits. */
static void k_wait(k_crew *crew, size_t b0)
{
    if (!k_alone(crew)) k_until(crew, &crew->turn, b0/K_BLOCK);
}
static void k_pass(k_crew *crew)
{
    if (!k_alone(crew)) k_count(crew, &crew->turn);
}
static inline void k_zero(real *to, size_t count, size_t thread, size_t threads)
{
    size_t begin = count*thread/threads;
    memset(to + begin, 0, (count*(thread + 1)/threads - begin)*sizeof(real));
}
#if defined(__x86_64__) || defined(__i386__)
#define k_pause() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define k_pause() __asm__ volatile("yield")
#else
#define k_pause() ((void)0)
#endif
/* Whether so many threads have a processor each. */
static int k_all_have_one(size_t threads)
{
#if defined(CPU_COUNT)
    cpu_set_t set;
    if (!sched_getaffinity(0, sizeof set, &set)) return threads <= (size_t)CPU_COUNT(&set);
#endif
    return (long)threads <= sysconf(_SC_NPROCESSORS_ONLN);
}
/* Where threads that work together wait until all are there: looking, if each has a processor, then
   letting others have it, then asleep. */
static void k_meet(k_crew *crew)
{
    if (crew == NULL || !crew->together || crew->members == 1) return;
    size_t round = __atomic_load_n(&crew->round, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&crew->here, 1, __ATOMIC_ACQ_REL) == crew->members) {
        __atomic_store_n(&crew->here, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&crew->round, round + 1, __ATOMIC_SEQ_CST);
        if (!__atomic_load_n(&crew->asleep, __ATOMIC_SEQ_CST)) return;
        pthread_mutex_lock(&crew->lock);
        pthread_cond_broadcast(&crew->changed);
        pthread_mutex_unlock(&crew->lock);
        return;
    }
    for (int looked = 0; looked < 2000; looked++) {
        if (__atomic_load_n(&crew->round, __ATOMIC_ACQUIRE) != round) return;
        if (looked < 1000 && crew->patient) k_pause(); else sched_yield();
    }
    pthread_mutex_lock(&crew->lock);
    __atomic_add_fetch(&crew->asleep, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&crew->round, __ATOMIC_SEQ_CST) == round)
        pthread_cond_wait(&crew->changed, &crew->lock);
    __atomic_sub_fetch(&crew->asleep, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&crew->lock);
}
static void k_blocks(k_crew *crew)
{
    size_t seat = __atomic_fetch_add(&crew->seats, 1, __ATOMIC_RELAXED), block;
    if (crew->together) {
        for (block = 0; block < crew->blocks; block++)
            crew->work(crew->arguments, crew, crew->scratch, block*K_BLOCK, seat, crew->members);
        k_meet(crew);
        return;
    }
    while ((block = __atomic_fetch_add(&crew->next, 1, __ATOMIC_RELAXED)) < crew->blocks) {
        crew->work(crew->arguments, crew, crew->scratch + seat*crew->each, block*K_BLOCK, 0, 1);
        k_count(crew, &crew->done);
    }
}
static void k_leave(k_crew *crew, size_t members)
{
    if (__atomic_sub_fetch(&crew->present, members, __ATOMIC_ACQ_REL)) return;
    pthread_cond_destroy(&crew->changed);
    pthread_mutex_destroy(&crew->lock);
    free(crew);
}
static void *k_help(void *given)
{
    k_crew *crew = (k_crew *)given;
    if (crew->together) k_until(crew, &crew->ready, 1);
    k_blocks(crew);
    k_leave(crew, 1);
    return NULL;
}
/* Whether so many threads do each block together, as so many can: where there are fewer blocks
   than threads, or what all would read is much. */
static inline int k_together(size_t threads, size_t B, size_t grains, int much)
{
    return threads > 1 && grains > 1 && (much || (B + K_BLOCK - 1)/K_BLOCK < threads);
}
static inline size_t k_most(size_t threads, size_t B, size_t grains, int much)
{
    size_t most = k_together(threads, B, grains, much) ? grains : (B + K_BLOCK - 1)/K_BLOCK;
    return threads < most ? threads : most;
}
/* Scratch for so many threads. */
static inline size_t k_rooms(size_t threads, size_t B, size_t grains, int much)
{
    return k_together(threads, B, grains, much) ? 1 : k_most(threads, B, grains, much);
}
/* The caller works too, and leaves when all blocks are done. A helper that comes too late for any
   ends by itself, and looks at nothing but the crew; where the system refuses a thread, those
   there are do its part. */
static void k_share(k_work work, void *arguments, size_t B, real *scratch, size_t each,
                    size_t threads, size_t grains, int much)
{
    k_crew own = {work, arguments, scratch, each, (B + K_BLOCK - 1)/K_BLOCK, .members = 1};
    own.together = k_together(threads, B, grains, much);
    threads = k_most(threads, B, grains, much);
    k_crew *crew = threads > 1 ? (k_crew *)malloc(sizeof(k_crew)) : NULL;
    if (crew == NULL) {
        k_blocks(&own);
        return;
    }
    *crew = own;
    crew->patient = crew->together && k_all_have_one(threads);
    crew->members = crew->present = threads;
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->changed, NULL);
    pthread_attr_t apart;
    pthread_attr_init(&apart);
    pthread_attr_setdetachstate(&apart, PTHREAD_CREATE_DETACHED);
    /* More than straight-line code needs, which some systems' threads do not have. */
    pthread_attr_setstacksize(&apart, 1 << 20);
    size_t helpers = 0;
    pthread_t thread;
    while (helpers < threads - 1 && !pthread_create(&thread, &apart, k_help, crew)) helpers++;
    pthread_attr_destroy(&apart);
    if (crew->together) {
        /* Nobody has begun, and all are told how many they are. */
        pthread_mutex_lock(&crew->lock);
        crew->members = helpers + 1;
        __atomic_store_n(&crew->ready, 1, __ATOMIC_RELEASE);
        pthread_cond_broadcast(&crew->changed);
        pthread_mutex_unlock(&crew->lock);
    }
    k_blocks(crew);
    if (!crew->together) k_until(crew, &crew->done, crew->blocks);
    k_leave(crew, threads - helpers);
}
"""

C_ALONE = """\
/* One sequence is a block by itself. */
#define K_BLOCK 1
"""

C_SINGLE = """\
#define k_where(c, a, b) ((c) ? (a) : (b))
/* Keeps a sum from being computed several terms at a time: gathered numbers are dearer than each by
   itself, and terms are added in their order anyway. */
#if defined(__GNUC__) && defined(__x86_64__)
#define k_one_by_one(sum) __asm__("" : "+x"(sum))
#else
#define k_one_by_one(sum)
#endif
"""

C_LARGEST = """\
/* The largest over the sequences of a block, and of what was there; NaN stays. */
static void k_largest(real *to, const real *from, size_t rows, size_t B, size_t b0,
                      size_t thread, size_t threads)
{
    size_t count = B - b0 < K_BLOCK ? B - b0 : K_BLOCK;
    K_ROWS(r, rows)
        for (size_t b = 0; b < count; b++)
            if (!(from[r*K_BLOCK + b] <= to[r])) to[r] = from[r*K_BLOCK + b];
}
"""

C_WINDOWS = """\
#define k_least(a, b) ((a) < (b) ? (a) : (b))
#define k_most(a, b) ((a) > (b) ? (a) : (b))
"""

C_ROOT = """\
static inline Py_ssize_t k_root(Py_ssize_t n) {
    Py_ssize_t r = 0;
    while (r*r < n) ++r;
    return r;
}
"""

BLOCK = """\
# Sequences of a batch that stand together.
BLOCK = K_BLOCK
"""

SHARED = """\
# Functions take how many threads share the work.
SHARED = True
"""

STATE_SIZE = Template("""\
cdef Py_ssize_t STATE_SIZE = $size
STATE = STATE_SIZE
""")
