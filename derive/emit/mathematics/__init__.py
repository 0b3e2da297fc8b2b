"""Functions that emitted modules compute themselves: their C text, and where its numbers come from.

``minimax.py`` finds the best rational approximation of a function, ``approximations.py`` says of
what and how good, ``coefficients.py`` holds what was found, ``text.py`` puts it into C.
"""
