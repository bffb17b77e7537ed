"""Settings with which the contract test runs every pass over the tiny model: a new pass needs a line here."""

EXAMPLES = {
    ("keras", "prune_channels"): {"ratio": 0.25, "round_to": 2, "recover": {"epochs": 1, "batch_size": 50}},
    ("keras", "recover"): {"epochs": 1, "batch_size": 50, "distill": True},
    ("keras", "distill"): {"ratio": 0.5, "distill": {"features": ["stem"]}, "epochs": 1, "batch_size": 50},
    ("keras", "half_precision"): {},
    ("keras", "sensitivity"): {"rows": 100, "channels": [0.5], "weights": [0.5], "bits": [4]},
    ("keras", "quantize_aware"): {"recover": {"epochs": 1, "batch_size": 50, "distill": True}},
    ("keras", "prune_weights"): {"sparsity": 0.4, "recover": {"epochs": 1, "batch_size": 50}},
    ("keras", "codebook"): {"bits": 3, "recover": {"epochs": 1, "batch_size": 50}},
    ("onnx", "prune_channels"): {"ratio": 0.2, "round_to": 2},
    ("onnx", "prune_weights"): {"sparsity": 0.4},
    ("onnx", "codebook"): {"bits": 3},
    ("onnx", "equalize"): {},
    ("onnx", "correct_bias"): {},
}
