"""Two files measured in pairs of fresh processes, and the ratio of each pair."""
