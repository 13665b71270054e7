"""The fast path of the motion blocks."""
