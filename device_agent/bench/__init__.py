"""What a job does: it runs launches and pairs of them, each in a fresh process, and records raw numbers."""
