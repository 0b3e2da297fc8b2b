"""The rungs on networks nobody chose: sparse, delayed, shared, mixed, masked, unconnected."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from derive.interpreted import Interpreted
from derive.network.network import Network
from derive.program.algorithms import programs
from derive.verify import numeric
from derive.verify.proof import Expectation, prove
from derive.verify.witness import witnesses
from tests.strategies import networks

ALGORITHM = {"name": "epochwise"}
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=6, suppress_health_check=SLOW)
@given(networks(max_units=3, rational=True))
def test_the_program_of_a_random_network_is_proved(net: Network) -> None:
    witness = witnesses(net)[0]
    expectation = Expectation(witness.net, min(3, witness.net.wiring.longest_delay + 2))
    claims = prove(programs(witness.net, ALGORITHM), expectation)
    assert claims and not [c for c in claims if not c.ok]


@settings(max_examples=40, suppress_health_check=SLOW)
@given(networks(), st.integers(0, 99))
def test_the_gradient_of_a_random_network_is_a_complex_step(net: Network, seed: int) -> None:
    found = programs(net, ALGORITHM)
    kernel = Interpreted(net, found, "float64", False)
    sample = numeric.draw(net, seed)
    claims = numeric.complex_step(net, found["forward"], kernel, sample, "float64")
    assert claims and not [c for c in claims if not c.ok]
