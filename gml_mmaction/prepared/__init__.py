"""Prepared data: written here, and checked when read back."""
