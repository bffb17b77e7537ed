"""What this board is, and what it is doing: read from /proc and /sys."""
