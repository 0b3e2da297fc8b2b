"""What bounds a kernel: the chain of operations, the arithmetic, or the memory it moves.

processor   what the machine can do at most, assumed or measured
bounds      a Program's counted work and chain against that
page        the explanation as text
"""

from derive.explain.page import explanation

__all__ = ["explanation"]
