"""Proofs for every number of units and steps, by induction on indexed sums."""
