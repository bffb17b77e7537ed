"""Which weights stay, when, and where the kernels are."""
