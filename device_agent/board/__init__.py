"""What this board is, and what it is doing meanwhile: read from /proc and /sys."""
