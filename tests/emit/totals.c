/* What k_total_of_four adds to four numbers, held against k_total for each of them. */
#include <stdio.h>

static real drawn(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (real)((double)(state >> 11)/9007199254740992.0 - 0.5)*(real)(1 << state%20);
}

int main(void)
{
    for (int round = 0; round < 2000; round++) {
        lane x[4][VECTORS];
        real to[4], expected[4];
        const size_t count = 1 + round%K_BLOCK;
        for (int i = 0; i < 4; i++) {
            for (int v = 0; v < VECTORS; v++)
                for (int b = 0; b < LANES; b++) x[i][v][b] = drawn();
            to[i] = expected[i] = drawn();
        }
#if VECTORS == 1
        for (int i = 0; i < 4; i++) expected[i] += k_total(x[i][0], count);
        k_total_of_four(x[0][0], x[1][0], x[2][0], x[3][0], count, to, to + 1, to + 2, to + 3);
#else
        for (int i = 0; i < 4; i++) expected[i] += k_total_of_two(x[i][0], x[i][1], count);
        k_total_of_four_of_two(x[0][0], x[0][1], x[1][0], x[1][1], x[2][0], x[2][1], x[3][0],
                               x[3][1], count, to, to + 1, to + 2, to + 3);
#endif
        if (memcmp(to, expected, sizeof to)) {
            printf("LANES %d, %zu sequences: differs\n", (int)LANES, count);
            return 1;
        }
    }
    puts("the same");
    return 0;
}
