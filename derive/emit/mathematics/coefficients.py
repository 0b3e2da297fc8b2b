"""Numbers derived by ``approximations.py``, which writes this file: change that one."""

COEFFICIENTS: dict[str, dict[str, tuple[str, ...]]] = {
    "float64": {
        "tanh_top": (
            "0x1p+0",
            "0x1.c710257e0ec91p-4",
            "0x1.15323cbc5fac5p-10",
        ),
        "tanh_bottom": (
            "0x1p+0",
            "0x1.c7195eb4d9012p-2",
            "0x1.03fc945d9b3dep-6",
        ),
        "exp_top": (
            "0x1.000000000000ap-1",
            "0x1.55555555554fap-3",
            "0x1.555555555088cp-5",
            "0x1.1111111127ba1p-7",
            "0x1.6c16c184266a7p-10",
            "0x1.a01a012a67f05p-13",
            "0x1.a0199a16e73cfp-16",
            "0x1.71df253db678fp-19",
            "0x1.28ad689e7eeb6p-22",
            "0x1.ad7f75d253e8p-26",
        ),
        "log1p_top": (
            "0x1.fffffffffffddp-2",
            "0x1.24b32bd064e7fp+0",
            "0x1.d8d4136688eeep-1",
            "0x1.42a5f4136c3a2p-2",
            "0x1.5a0a1d2cc9a05p-5",
            "0x1.98011279011e6p-10",
        ),
        "log1p_bottom": (
            "0x1p+0",
            "0x1.7a088125ba098p+1",
            "0x1.a86fb521c7343p+1",
            "0x1.c39b262135447p+0",
            "0x1.cd6b93b8cb9ebp-2",
            "0x1.9225093583c2ap-5",
            "0x1.9e09d46b9423p-10",
        ),
    },
    "float32": {
        "tanh_top": (
            "0x1p+0",
            "0x1.10bdbap-4",
        ),
        "tanh_bottom": (
            "0x1p+0",
            "0x1.9984b4p-2",
        ),
        "exp_top": (
            "0x1.fffffcp-2",
            "0x1.555492p-3",
            "0x1.5558f2p-5",
            "0x1.1239d6p-7",
            "0x1.6a2438p-10",
        ),
        "log1p_top": (
            "0x1.fffffap-2",
            "0x1.cd8d8cp-2",
            "0x1.27f354p-4",
        ),
        "log1p_bottom": (
            "0x1p+0",
            "0x1.91711ep+0",
            "0x1.61445ep-1",
            "0x1.36136ep-4",
        ),
    },
}
"""Of P and Q, constant first, by type."""

CONSTANTS: dict[str, dict[str, str]] = {
    "float64": {
        "ln2": "0x1.62e42fefa39efp-1",
        "ln2_first": "0x1.62e42fefa3p-1",
        "ln2_rest": "0x1.3de6af278ece6p-42",
        "per_ln2": "0x1.71547652b82fep+0",
    },
    "float32": {
        "ln2": "0x1.62e43p-1",
        "ln2_first": "0x1.62e4p-1",
        "ln2_rest": "0x1.7f7d1cp-20",
        "per_ln2": "0x1.715476p+0",
    },
}
