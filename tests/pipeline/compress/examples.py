"""Settings with which the contract test runs every pass over the tiny model: a new pass needs a line here."""

EXAMPLES = {
    ("keras", "prune_weights"): {"sparsity": 0.4, "recover": {"epochs": 1, "batch_size": 50}},
}
