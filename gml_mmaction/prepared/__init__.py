"""What preparation writes: made here, and read back with care."""
