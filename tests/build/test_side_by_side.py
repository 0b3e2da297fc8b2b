"""Two kernels are compiled at the same time, not one after the other."""

from __future__ import annotations

import os
import shlex
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import derive
from derive.build.toolchain import Toolchain

# A compiler that begins only when as many of it have been started as are to run side by side.
MEETING = """\
#!/bin/sh
if [ "$1" != --version ]; then
    touch "{folder}/$$"
    waited=0
    while [ "$(ls "{folder}" | wc -l)" -lt 2 ]; do
        waited=$((waited + 1))
        [ "$waited" -lt 1200 ] || {{ echo "nobody else came" >&2; exit 1; }}
        sleep 0.05
    done
fi
exec {compiler} "$@"
"""


@pytest.mark.skipif(os.name == "nt", reason="the compiler in between is a shell script")
def test_two_threads_compile_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toolchain: Toolchain
) -> None:
    (tmp_path / "met").mkdir()
    script = tmp_path / "cc"
    compiler = shlex.join(toolchain.compiler)
    script.write_text(MEETING.format(folder=tmp_path / "met", compiler=compiler))
    script.chmod(0o700)
    monkeypatch.setenv("CC", str(script))
    net = derive.Network.load("examples/wz3x5.toml")
    kernels: dict[str, Any] = {}
    threads = [
        threading.Thread(target=lambda a=a: kernels.update({a: derive.compile(net, a)}))
        for a in ("epochwise", "rtrl")
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    theta, x, target = net.init(seed=0), np.ones((5, 2)), np.zeros((5, 1))
    (_, one), (_, other) = (kernels[a].gradient(theta, x, target) for a in ("epochwise", "rtrl"))
    np.testing.assert_allclose(one, other, rtol=1e-12)
