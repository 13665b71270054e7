"""What is computed about a network: maps, optical flow, cost."""
