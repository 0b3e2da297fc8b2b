"""Equations as people write them, read to one tree."""
