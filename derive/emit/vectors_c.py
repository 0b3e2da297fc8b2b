"""The C types of vectors: over sequences of a batch, over columns of a row, and their sums."""

from __future__ import annotations

from collections.abc import Mapping
from string import Template

from derive.blocks import BYTES

REGISTERS = {"defined(__AVX512F__)": 64, "defined(__AVX__)": 32, "": 16}
"""Bytes of a vector register by the condition that a processor has them, the widest first. Vectors
that need several registers are kept in memory by compilers."""


C_LANES = Template("""\
$widths
#define K_BLOCK $block
typedef real lane __attribute__((vector_size(LANES*sizeof(real)), aligned(LANES*sizeof(real))));
typedef const lane *K_RESTRICT lane_in;
typedef lane *K_RESTRICT lane_out;
${groups}#define k_lane(a) ((a) + (lane){0})
#define k_div(a, b) ((a)/(b))
typedef __typeof__((lane){0} == (lane){0}) lane_mask;
#define k_where(c, a, b) ((lane)(((lane_mask)(c) & (lane_mask)k_lane(a)) \\
    | (~(lane_mask)(c) & (lane_mask)k_lane(b))))
/* (rows, count of B from b0) <-> (rows, K_BLOCK); what is beyond the batch is zero. Of the rows one
   thread of several does some, here and below. */
#define K_ROWS(r, rows) \\
    for (size_t r = (rows)*thread/threads, end = (rows)*(thread + 1)/threads; r < end; r++)
static void k_pack(real *to, const real *from, size_t rows, size_t B, size_t b0,
                   size_t thread, size_t threads)
{
    size_t count = B - b0 < K_BLOCK ? B - b0 : K_BLOCK;
    if (count == K_BLOCK) { /* a copy of known length is one instruction or two */
        K_ROWS(r, rows)
            memcpy(to + r*K_BLOCK, from + r*B + b0, K_BLOCK*sizeof(real));
        return;
    }
    K_ROWS(r, rows) {
        memset(to + r*K_BLOCK, 0, K_BLOCK*sizeof(real));
        memcpy(to + r*K_BLOCK, from + r*B + b0, count*sizeof(real));
    }
}
static void k_unpack(real *to, const real *from, size_t rows, size_t B, size_t b0,
                     size_t thread, size_t threads)
{
    size_t count = B - b0 < K_BLOCK ? B - b0 : K_BLOCK;
    if (count == K_BLOCK) {
        K_ROWS(r, rows)
            memcpy(to + r*B + b0, from + r*K_BLOCK, K_BLOCK*sizeof(real));
        return;
    }
    K_ROWS(r, rows)
        memcpy(to + r*B + b0, from + r*K_BLOCK, count*sizeof(real));
}
/* The same number, whose origin the compiler does not know: it stays in a register. */
static inline lane k_hold(lane x)
{
#if defined(__AVX512F__) && defined(__GNUC__)
    __asm__("" : "+v"(x));
#endif
    return x;
}
/* The sum over the sequences there are; what stands beside them does not count. */
static inline real k_total(lane x, size_t count)
{
    if (count < LANES) {
        real sum = 0;
        for (size_t b = 0; b < count; b++) sum += x[b];
        return sum;
    }
$halves
}
$of_four${of_two}static void k_add(real *to, const real *from, size_t rows, size_t B, size_t b0,
                  size_t thread, size_t threads)
{
    (void)B; (void)b0;
    K_ROWS(r, rows)
        to[r] += from[r];
}
static void k_sum(real *to, const real *from, size_t rows, size_t B, size_t b0,
                  size_t thread, size_t threads)
{
    size_t count = B - b0 < K_BLOCK ? B - b0 : K_BLOCK;
    K_ROWS(r, rows) {
        double sum = to[r];
        for (size_t b = 0; b < count; b++)
            sum += from[r*K_BLOCK + b];
        to[r] = (real)sum;
    }
}
""")


def c_lanes(width: int, itemsize: int, vectors: int = 1, groups: int = 1) -> str:
    """Definitions for vectors of as many sequences as a register holds, ``width`` at most.

    So many ``vectors`` make a group, and so many of these a block.
    """
    by = {condition: min(size // itemsize, width) for condition, size in REGISTERS.items()}
    widths = _by_condition({c: f"#define LANES {n}" for c, n in by.items()})
    text = C_LANES.substitute(
        widths=f"/* {_LANES if vectors * groups == 1 else _PAIRS} */\n{widths}",
        halves=_by_condition({f"LANES == {n}": _halves(n) for n in dict.fromkeys(by.values())}),
        block="LANES" if vectors * groups == 1 else f"({vectors * groups}*LANES)",
        groups=(C_PARTS if vectors * groups > 1 else "")
        + (C_GROUPS.substitute(vectors=vectors) if groups > 1 else ""),
        of_four=_total_of_four(sorted({n for n in by.values() if n >= 4}, reverse=True)),
        of_two="" if vectors == 1 else C_TOTAL_OF_TWO,
    )
    return by_group(text, groups, "pack", "unpack", "sum")


def by_group(text: str, groups: int, *names: str) -> str:
    """Definitions of such functions that move a block, for blocks of so many groups."""
    if groups == 1:
        return text
    text = text.replace("rows*K_BLOCK", "rows*K_GROUP").replace("r*K_BLOCK", "r*K_GROUP")
    text = text.replace("b0 < K_BLOCK ? B - b0 : K_BLOCK", "b0 < K_GROUP ? B - b0 : K_GROUP")
    text = text.replace("count == K_BLOCK", "count == K_GROUP")
    text = text.replace("K_BLOCK*sizeof", "K_GROUP*sizeof")
    for name in names:
        text = text.replace(f"void k_{name}(", f"void k_{name}_group(")
    into = {"pack"}
    moves = [f"K_BY_GROUP({n}, {int(n in into)}, {int(n not in into)})\n" for n in names]
    return text + "".join(moves)


_LANES = "One vector holds the same quantity of LANES sequences of a batch."
_PAIRS = _LANES.replace("One vector holds", "Each of the vectors of a block holds")

C_PARTS = """\
#if defined(__GNUC__)
#define k_soon(place) __builtin_prefetch(place, 1)
#else
#define k_soon(place) ((void)(place))
#endif
/* The first part of a block are the vectors that are whole, if there are any, and the last the one
   that is not: from where to where a part goes, and the sequences of each vector in it. */
#define k_whole(part, count) ((part) == 0 && (count) >= LANES)
#define k_parts(count) (((count) >= LANES) + ((count) % LANES > 0))
#define k_first(part, count) ((part) ? (count)/LANES : 0)
#define k_last(part, count) (k_whole(part, count) ? (count)/LANES : ((count) + LANES - 1)/LANES)
#define k_in_part(part, count) (k_whole(part, count) ? LANES : (count) % LANES)
"""

C_GROUPS = Template("""\
/* A block has groups of vectors: those of count sequences, and the sequences of one of them. */
#define K_GROUP ($vectors*LANES)
#define k_groups(count) (((count) + K_GROUP - 1)/K_GROUP)
#define k_in_group(group, count) \\
    ((count) - (group)*K_GROUP < K_GROUP ? (count) - (group)*K_GROUP : K_GROUP)
/* What is done with a block's numbers group by group: these are written to, or else read. */
#define K_BY_GROUP(name, to_them, from_them) \\
static void k_##name(real *to, const real *from, size_t rows, size_t B, size_t b0, \\
                     size_t thread, size_t threads) \\
{ \\
    for (size_t at = 0; at < K_BLOCK && b0 + at < B; at += K_GROUP) \\
        k_##name##_group(to + to_them*at*rows, from + from_them*at*rows, rows, B, b0 + at, \\
                         thread, threads); \\
}
""")

OF_PARTS = {"parts": 1, "first": 2, "last": 2, "in_part": 2}
OF_GROUPS = {"groups": 1, "in_group": 2}
"""What of it Cython calls, and how many whole numbers that takes."""

C_TOTAL_OF_TWO = """\
/* The same of a block of two vectors. */
static inline real k_total_of_two(lane x, lane y, size_t count)
{
    if (count == 2*LANES) return k_total(x + y, LANES);
    if (count <= LANES) return k_total(x, count);
    return k_total(x, LANES) + k_total(y, count - LANES);
}
static inline void k_total_of_four_of_two(
    lane a, lane aa, lane b, lane bb, lane c, lane cc, lane d, lane dd, size_t count,
    real *to_a, real *to_b, real *to_c, real *to_d)
{
    if (count == 2*LANES) {
        k_total_of_four(a + aa, b + bb, c + cc, d + dd, LANES, to_a, to_b, to_c, to_d);
        return;
    }
    *to_a += k_total_of_two(a, aa, count);
    *to_b += k_total_of_two(b, bb, count);
    *to_c += k_total_of_two(c, cc, count);
    *to_d += k_total_of_two(d, dd, count);
}
"""


C_TOTAL_OF_FOUR = Template("""\
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define K_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#endif
#endif
/* What k_total adds of each of four vectors to a number, in the same order, side by side. */
static inline void k_total_of_four(
    lane a, lane b, lane c, lane d, size_t count, real *to_a, real *to_b, real *to_c, real *to_d)
{
#if defined(K_SHUFFLE) && LANES >= 4
    if (count >= LANES) {
$four
        return;
    }
#endif
    *to_a += k_total(a, count);
    *to_b += k_total(b, count);
    *to_c += k_total(c, count);
    *to_d += k_total(d, count);
}
/* The same of four times four, each four added to neighbours: no sum leaves the registers. */
static inline __attribute__((always_inline)) void k_total_of_rows(
    lane a, lane b, lane c, lane d, lane e, lane f, lane g, lane h,
    lane i, lane j, lane k, lane l, lane m, lane n, lane o, lane p,
    size_t count, real *to_a, real *to_e, real *to_i, real *to_m)
{
#if defined(K_SHUFFLE) && LANES >= 4
    if (count >= LANES) {
        typedef real row __attribute__((vector_size(4*sizeof(real)), aligned(sizeof(real))));
$rows
        return;
    }
#endif
    k_total_of_four(a, b, c, d, count, to_a, to_a + 1, to_a + 2, to_a + 3);
    k_total_of_four(e, f, g, h, count, to_e, to_e + 1, to_e + 2, to_e + 3);
    k_total_of_four(i, j, k, l, count, to_i, to_i + 1, to_i + 2, to_i + 3);
    k_total_of_four(m, n, o, p, count, to_m, to_m + 1, to_m + 2, to_m + 3);
}
""")


def _total_of_four(widths: list[int]) -> str:
    """The sums of several vectors, for vectors of so many numbers; of fewer, one by one."""
    four, rows = (
        _by_condition({f"LANES == {n}": text(n) for n in widths}) if widths else ""
        for text in (_four, _rows)
    )
    return C_TOTAL_OF_FOUR.substitute(four=four, rows=rows)


def _four(width: int) -> str:
    lines, whole, size = _folded(["a", "b", "c", "d"], width)
    while size > 1:
        size //= 2
        beside = ", ".join(str(i ^ size) for i in range(width))
        lines.append(f"{whole} = {whole} + K_SHUFFLE({whole}, {whole}, {beside});")
    lines += [f"*to_{name} += {whole}[{i * width // 4}];" for i, name in enumerate("abcd")]
    return "\n".join(f"        {line}" for line in lines)


def _rows(width: int) -> str:
    lines: list[str] = []
    for at in range(0, 16, width):
        names = list("abcdefghijklmnop"[at : at + width])
        made, whole, _ = _folded(names, width)
        lines += made
        for i in range(0, width, 4):
            part = ", ".join(map(str, range(i, i + 4)))
            lines.append(f"*(row *)to_{names[i]} += K_SHUFFLE({whole}, {whole}, {part});")
    return "\n".join(f"        {line}" for line in lines)


def _folded(names: list[str], width: int) -> tuple[list[str], str, int]:
    """Vectors half by half: what is left of each stands behind what is left of the one before.

    The lines, the name of the one that is left, and how many numbers each vector has in it.
    """
    lines, size = [], width
    while len(names) > 1:
        size //= 2
        low = [first + i for first in range(0, 2 * width, 2 * size) for i in range(size)]
        halves = [", ".join(str(i + more) for i in low) for more in (0, size)]
        pairs = list(zip(names[::2], names[1::2], strict=True))
        for x, y in pairs:
            sides = " + ".join(f"K_SHUFFLE({x}, {y}, {half})" for half in halves)
            lines.append(f"lane {x}{y} = {sides};")
        names = [x + y for x, y in pairs]
    return lines, names[0], size


def _by_condition(texts: Mapping[str, str]) -> str:
    """Each text where its condition holds, the last one where none does."""
    *conditional, otherwise = texts.items()
    if not conditional or len(set(texts.values())) == 1:
        return otherwise[1]
    lines, word = [], "#if"
    for condition, text in conditional:
        lines += [f"{word} {condition}", text]
        word = "#elif"
    return "\n".join([*lines, "#else", otherwise[1], "#endif"])


def _halves(width: int) -> str:
    """The sum of a vector, half by half."""
    lines, whole, x, size = [], "lane", "x", width
    while size > 2:
        size //= 2
        lines += [
            f"typedef real lane_{size} __attribute__((vector_size({size}*sizeof(real))));",
            f"union {{ {whole} all; lane_{size} half[2]; }} of_{size} = {{{x}}};",
        ]
        whole, x = f"lane_{size}", f"of_{size}.half[0] + of_{size}.half[1]"
    lines += [f"{whole} last = {x};", "return last[0] + last[1];"]
    return "\n".join(f"    {line}" for line in lines)


C_COLUMNS = Template("""\
/* A vector of neighbouring columns, wherever the first stands. */
#if defined(__GNUC__)
$widths
typedef real columns __attribute__((vector_size(COLUMNS*sizeof(real)), aligned(sizeof(real))));
#else
#define COLUMNS 1
typedef real columns;
#endif
typedef const columns *columns_in;
typedef columns *columns_out;
#define k_columns(a) ((a) + (columns){0})
/* Sums of columns need the registers: what is in them for later has no claim beyond this. */
$clear
/* The same numbers, whose origin the compiler does not know: they stay in a register. */
static inline columns k_columns_held(columns x)
{
#if defined(__AVX512F__) && defined(__GNUC__)
    __asm__("" : "+v"(x));
#endif
    return x;
}
""")


C_LOOKED_UP = Template("""\
#if defined($has) && defined(__GNUC__) && !defined(__clang__)
/* Of what the header below declares only this: it takes a third of a second to read. */
typedef char k_bytes __attribute__((vector_size(16)));
typedef long long k_eights __attribute__((vector_size(16)));
typedef $place k_places __attribute__((vector_size(COLUMNS*sizeof(real))));
#elif defined($has) && defined(__GNUC__)
#include <immintrin.h>
#endif
/* Of a page of $size numbers those at so many places. */
static inline columns k_looked_up(const real *page, const uint8_t *places)
{
#if defined($has) && defined(__GNUC__) && !defined(__clang__)
    $load
    return (columns)__builtin_shuffle($shuffled, (k_places)$widened);
#elif defined($has) && defined(__GNUC__)
    return (columns)$found;
#elif defined(__GNUC__)
    columns found;
    for (int i = 0; i < COLUMNS; i++)
        found[i] = page[places[i]];
    return found;
#else
    return page[places[0]];
#endif
}
""")

OF_TWO = """\
_mm512_permutex2var_{0}(_mm512_loadu_{0}(page),
        {1}, _mm512_loadu_{0}(page + COLUMNS))"""

FOUND = {
    (4, 128): ("__AVX512F__", "__builtin_ia32_pmovzxbd512_mask(bytes, (k_places){0}, -1)",
        OF_TWO.format("ps", "_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)places))")),
    (8, 128): ("__AVX512F__", "__builtin_ia32_pmovzxbq512_mask(bytes, (k_places){0}, -1)",
        OF_TWO.format("pd", "_mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i *)places))")),
    (4, 32): ("__AVX2__", "__builtin_ia32_pmovzxbd256(bytes)", """\
_mm256_permutevar8x32_ps(_mm256_loadu_ps(page),
        _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)places)))"""),
}  # fmt: skip
"""By bytes of a number and of a page: what a processor must have; how gcc widens the places of a
vector; how others find one."""

LOADS = {
    16: "k_bytes bytes;\n    __builtin_memcpy(&bytes, places, 16);",
    8: """\
long long eight;
    __builtin_memcpy(&eight, places, 8);
    const k_bytes bytes = (k_bytes)(k_eights){eight, 0};""",
}
"""How the places of so many numbers get into a register."""

VECTORS = ("*(const columns *)page", "*(const columns *)(page + COLUMNS)")
"""Of a page, where two are one."""


def c_looked_up(itemsize: int, page: int) -> str:
    """The function that finds numbers of a page, in registers where there are such."""
    has, widened, found = FOUND[itemsize, page * itemsize]
    shuffled = ", ".join(VECTORS[: 1 + (page * itemsize > BYTES)])
    place = {4: "int", 8: "long long"}[itemsize]  # as in the header
    load = LOADS[min(page, BYTES // itemsize)]
    return C_LOOKED_UP.substitute(
        size=page, has=has, found=found, load=load, shuffled=shuffled, widened=widened, place=place
    )


def c_columns(itemsize: int, most: int = BYTES) -> str:
    """Definitions for vectors of as many columns of a row as a register holds.

    Of so many bytes at ``most``.
    """
    widths = {c: f"#define COLUMNS {min(size, most) // itemsize}" for c, size in REGISTERS.items()}
    gnu = "defined(__x86_64__) && defined(__GNUC__)"
    clear = {f"{gnu} && defined(__AVX512F__)": _cleared(32), gnu: _cleared(16), "": _cleared(0)}
    return C_COLUMNS.substitute(widths=_by_condition(widths), clear=_by_condition(clear))


def _cleared(registers: int) -> str:
    """The macro that has compilers take so many vector registers for changed."""
    names = [f'"xmm{i}"' for i in range(registers)]
    rows = [", ".join(names[i : i + 8]) for i in range(0, registers, 8)]
    asm = '__asm__ volatile("" ::: ' + ", \\\n    ".join(rows) + ")"
    return "#define k_columns_begin()" + (f" \\\n    {asm}" if rows else "")
