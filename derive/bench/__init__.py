"""How fast, beside whom: a grid of networks, each timed in one process with its peers.

case        one cell of the grid, and the length of its sequences
grid        all cells, the quick ones, those a pattern names
problem     random arrays of a case; what every contender is given, and its answer's layout
own, peers  contenders: derive's kernels; JAX, PyTorch, Numba and NumPy
judging     who computes something else is refused
measuring   rounds in which all take turns
ceilings    what this processor can do at most
worker      the cases of one process, pinned to its cores
running     starts workers, keeps what they say
results, table, heatmap     a file that grows case by case, and how it is read
"""
