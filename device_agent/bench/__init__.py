"""What a job does: launches and pairs of them, each process a fresh one, and the raw numbers that they tell."""
