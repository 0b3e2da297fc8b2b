/* What is added to several numbers at once, held against k_total for each of them. */
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
#if VECTORS == 1
        lane many[16];
        real rows[4][5], alone[4][5];
        for (int i = 0; i < 16; i++)
            for (int b = 0; b < LANES; b++) many[i][b] = drawn();
        for (int i = 0; i < 20; i++) rows[i/5][i%5] = alone[i/5][i%5] = drawn();
        for (int i = 0; i < 16; i++) alone[i/4][i%4] += k_total(many[i], count);
        k_total_of_rows(many[0], many[1], many[2], many[3], many[4], many[5], many[6], many[7],
                        many[8], many[9], many[10], many[11], many[12], many[13], many[14],
                        many[15], count, rows[0], rows[1], rows[2], rows[3]);
        if (memcmp(rows, alone, sizeof rows)) {
            printf("LANES %d, %zu sequences: rows differ\n", (int)LANES, count);
            return 1;
        }
#endif
    }
    puts("the same");
    return 0;
}
