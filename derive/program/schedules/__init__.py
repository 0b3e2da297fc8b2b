"""Schedules: how a Program's loops are laid out. One file each, and the choice between them."""
