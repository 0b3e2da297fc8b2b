"""The rungs on networks nobody chose: sparse, delayed, shared, mixed, masked, unconnected."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from derive.errors import DerivationError
from derive.network.network import Network
from derive.program.algorithms import programs
from derive.verify import agreement, differences, rounding, samples
from derive.verify.expectation import Expectation
from derive.verify.forms import form_of
from derive.verify.kernels import on_numpy
from derive.verify.proof import prove
from derive.verify.witness import witnesses
from tests.strategies import networks
from tests.verify.examples import ALGORITHMS, EPOCHWISE, algorithm_of

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
NAMES = st.sampled_from([f"{name}{forced}" for name in ALGORITHMS for forced in ("", ", forced")])


def settled(net: Network, name: str) -> dict[str, Any]:
    """An algorithm on a network; groups where there are three units, and a target in each."""
    try:
        return algorithm_of(net, name)
    except DerivationError:
        return algorithm_of(net, name.replace("rtrl grouped", "rtrl"))


@settings(max_examples=2, suppress_health_check=SLOW)
@given(networks(max_units=3, rational=True))
def test_the_program_of_a_random_network_is_proved(net: Network) -> None:
    witness = witnesses(net)[0]
    expectation = Expectation(witness.net, min(3, witness.net.wiring.longest_delay + 2))
    claims = prove(programs(witness.net, EPOCHWISE), expectation)
    assert claims and not [c for c in claims if not c.ok]


@settings(max_examples=5, suppress_health_check=SLOW)
@given(networks(max_units=3, rational=True, longest_delay=2), NAMES)
def test_every_algorithm_is_proved_on_a_random_network(net: Network, name: str) -> None:
    algorithm = settled(net, name)
    claims = prove(programs(net, algorithm), Expectation(net, 3, algorithm))
    assert claims and not [c for c in claims if not c.ok]


@settings(max_examples=25, suppress_health_check=SLOW)
@given(networks(), st.integers(0, 99))
def test_the_gradient_of_a_random_network_is_a_complex_step(net: Network, seed: int) -> None:
    found = programs(net, EPOCHWISE)
    kernel = on_numpy(net, found, EPOCHWISE, "float64")
    sample = samples.draw(net, seed)
    claims = differences.complex_step(net, found["forward"], kernel, sample, "float64")
    assert claims and not [c for c in claims if not c.ok]


@settings(max_examples=15, suppress_health_check=SLOW)
@given(networks(corners=True), NAMES, st.integers(0, 99))
def test_every_algorithm_keeps_its_claims_on_a_random_network(
    net: Network, name: str, seed: int
) -> None:
    algorithm = settled(net, name)
    form, found = form_of(algorithm), programs(net, algorithm)
    kernel = on_numpy(net, found, algorithm, "float64")
    sample = samples.draw(net, seed, "float64", form)
    claims = [
        *rounding.rounding(net, kernel, found, sample, "float64", form),
        *agreement.steps_agree(net, kernel, sample, "float64", form),
        *agreement.with_epochwise(net, kernel, algorithm, sample, "float64", seed),
    ]
    assert not [c for c in claims if not c.ok]
