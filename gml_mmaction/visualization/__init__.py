"""What people look at: curves and contact sheets."""
