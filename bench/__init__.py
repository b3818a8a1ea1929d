"""Measurements: the guarded way beside the hand-written one and the peers."""
