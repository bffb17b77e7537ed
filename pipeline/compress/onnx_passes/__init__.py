"""The passes on ONNX graphs: one file each, and one line in PASSES."""
