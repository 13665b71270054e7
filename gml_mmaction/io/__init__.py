"""Files that appear whole or not at all, and text for people."""
