"""Proofs for every number of units and steps, by induction on indexed sums.

What is to be proved are the equations the calculus derived; what they are held against is SymPy's
derivative of the stated equations, along tangents. Nothing derived is used on that side.

sums       when two expressions over indexed sums are the same for every n
network    the stated equations, and their tangents
forward    p is the derivative: induction over the steps
backward   ε and δ are ordered derivatives: induction back over the steps
learning   the gradient; where windows begin; what truncation is the derivative of
sweeps     p from window to window
scope      what is proved, what is assumed, what is not attempted
parts      lemmas, their equations, and how they are written
proving    which lemmas an algorithm takes
claim      the line of a report
"""
