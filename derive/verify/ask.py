"""What is asked of a verification, whatever the algorithm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from derive.network.network import Network
from derive.program.ir import Program


def silent(text: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Ask:
    """How to verify.

    Attributes
    ----------
    schedule, dtype : str
        Of the kernel.
    seed : int
        For the arguments that are drawn.
    plant : str, optional
        A fault to plant: the claims must fail.
    kernel : Kernel, optional
        What to check instead of compiling.
    tell : callable
        Told in a few words what begins.
    """

    schedule: str = "auto"
    dtype: str = "float64"
    seed: int = 0
    plant: str | None = None
    kernel: Any = None
    tell: Callable[[str], None] = silent

    def compiled(self, net: Network, algorithm: Mapping[str, Any]) -> Any:
        """The network's kernel."""
        from derive.kernel import compile

        self.tell("compiling the kernel")
        options = {k: v for k, v in algorithm.items() if k != "name"}
        return compile(net, algorithm["name"], schedule=self.schedule, dtype=self.dtype, **options)


def laid_out(net: Network, programs: Mapping[str, Program], schedule: str) -> dict[str, Program]:
    """The Programs in the schedule that ``net``, not its witness, gets."""
    from derive.program.schedules.choose import Choice, choose, scheduled

    choice = Choice(choose(net, False, schedule).name, False, "as the kernel's")
    return {k: scheduled(p, choice, 8) for k, p in programs.items()}
