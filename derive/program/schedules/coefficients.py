"""What the cost model multiplies counted work by: nanoseconds, and seconds of compiling.

``benchmarks/bench_schedules.py --fit`` writes this file from recorded times; edit neither.
"""

STEP = {
    ("unrolled", False, "float64"): (8.381, 1.004, 2.98, 0.9085, 0.9, 0.0),
    ("unrolled", False, "float32"): (8.536, 0.7491, 2.017, 0.8429, 0.9112, 0.0),
    ("unrolled", True, "float64"): (6.453, 1.898, 4.784, 1.822, 1.837, 0.0),
    ("unrolled", True, "float32"): (6.837, 1.616, 3.315, 1.918, 2.029, 0.0),
    ("tables", False, "float64"): (22.68, 0.2441, 3.043, 0.0589, 0.8682, 0.1883),
    ("tables", False, "float32"): (18.22, 0.1528, 2.883, 0.03095, 0.8486, 0.7638),
    ("tables", True, "float64"): (13.9, 1.801, 8.781, 0.7058, 1.81, 0.0),
    ("tables", True, "float32"): (12.89, 1.508, 8.392, 0.7042, 1.67, 0.0),
    ("pages", False, "float64"): (13.36, 0.5847, 3.397, 0.0, 0.2101, 3.386),
    ("pages", False, "float32"): (7.925, 0.7778, 1.88, 0.0, 0.03126, 5.112),
}
"""By schedule, whether in lanes, and type; in the order of the features."""

COMPILE = (1.58, 0.0008022, 2.945e-07)
"""Of a straight line: a constant, statements of all functions, the sum of their squares."""
