"""The passes on Keras models: one file each, and one line in PASSES."""
