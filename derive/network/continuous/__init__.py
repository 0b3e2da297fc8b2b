"""A cell in continuous time, and the rules that make it a discrete update.

    schemes.py     the rules, each a function of a step
    cell.py        what a person states: rates ẏ, and outputs read from the states
    timestep.py    Δt, a number or a fixed parameter
    discretize.py  from the one to the other; the only one that most need
    updates.py     a rule applied to a cell, in SymPy
    stability.py   a rule applied to ẏ = λy, and what that says of Δt/τ
    blocks.py      linear state-space cells

Nothing here imports SymPy before a cell's equations are asked for.
"""

from derive.network.continuous.blocks import state_space
from derive.network.continuous.cell import ContinuousCell
from derive.network.continuous.discretize import discretize, forward_euler
from derive.network.continuous.schemes import SCHEMES

__all__ = ["SCHEMES", "ContinuousCell", "discretize", "forward_euler", "state_space"]
