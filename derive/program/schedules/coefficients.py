"""What the cost model multiplies counted work by: nanoseconds, and seconds of compiling.

``benchmarks/bench_schedules.py --fit`` writes this file from recorded times; edit neither.
"""

STEP = {
    ("unrolled", False, "float64"): (9.752, 1.338, 2.965, 0.8233, 0.8406, 0.0),
    ("unrolled", False, "float32"): (9.082, 1.095, 2.45, 0.8683, 0.9248, 0.0),
    ("unrolled", True, "float64"): (6.852, 2.258, 4.684, 1.729, 1.76, 0.0),
    ("unrolled", True, "float32"): (6.835, 2.12, 4.054, 1.673, 1.744, 0.0),
    ("tables", False, "float64"): (16.51, 0.922, 2.059, 0.04954, 1.202, 1.499),
    ("tables", False, "float32"): (12.84, 0.6033, 2.887, 0.01707, 1.303, 1.213),
    ("tables", True, "float64"): (13.74, 1.69, 8.317, 0.7389, 2.054, 0.0),
    ("tables", True, "float32"): (12.12, 1.467, 8.187, 0.7057, 1.882, 0.0),
}
"""By schedule, whether in lanes, and type; in the order of the features."""

COMPILE = (1.714, 0.0007292, 3.78e-07)
"""Of a straight line: a constant, statements of all functions, the sum of their squares."""
