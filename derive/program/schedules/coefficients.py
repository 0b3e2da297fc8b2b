STEP = {
    ("unrolled", b, d): (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    for b in (False, True)
    for d in ("float64", "float32")
} | {
    ("tables", b, d): (20.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    for b in (False, True)
    for d in ("float64", "float32")
}
COMPILE = (1.5, 0.01, 0.0)
