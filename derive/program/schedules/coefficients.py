"""What the cost model multiplies counted work by: nanoseconds, and seconds of compiling.

``benchmarks/bench_schedules.py --fit`` writes this file from recorded times; edit neither.
"""

STEP = {
    ("unrolled", False, "float64"): (9.38, 0.9646, 2.828, 0.835, 0.929, 0.0),
    ("unrolled", False, "float32"): (8.846, 0.7401, 1.97, 0.8031, 0.9174, 0.0),
    ("unrolled", True, "float64"): (8.901, 1.978, 3.726, 1.794, 1.969, 0.0),
    ("unrolled", True, "float32"): (7.549, 1.606, 3.196, 1.829, 1.997, 0.0),
    ("tables", False, "float64"): (23.91, 0.2376, 2.617, 0.09777, 0.9556, 0.0),
    ("tables", False, "float32"): (18.61, 0.1804, 2.796, 0.0379, 0.8587, 0.6429),
    ("tables", True, "float64"): (14.55, 1.751, 8.328, 0.7042, 1.832, 0.0),
    ("tables", True, "float32"): (13.38, 1.319, 8.111, 0.6831, 1.717, 0.0),
}
"""By schedule, whether in lanes, and type; in the order of the features."""

COMPILE = (1.56, 0.0007013, 4.167e-07)
"""Of a straight line: a constant, statements of all functions, the sum of their squares."""
