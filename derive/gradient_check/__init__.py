"""Whether somebody's gradient is right; if not, which entries are wrong, and what mistake that is.

asked        the function as its author calls it
quotients    slopes of J with an error bar each
problem      a network with the user's numbers: its right gradient, and those of faulty Programs
conventions  a loss that is minimised, a mean for a sum
reference    what a gradient is compared with
arrays       what can be done wrong to a right gradient
variants     what each known mistake gives on these numbers
matching     which of them is the gradient under test
search       the search as a whole, and what the numbers cannot show
mistakes     the words for each
report       GradientCheck
checking     gradcheck
"""

from __future__ import annotations

from derive.gradient_check.asked import GradientCheckError
from derive.gradient_check.checking import gradcheck
from derive.gradient_check.report import Entry, GradientCheck, Mistake

__all__ = ["Entry", "GradientCheck", "GradientCheckError", "Mistake", "gradcheck"]
