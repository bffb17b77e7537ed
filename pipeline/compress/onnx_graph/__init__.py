"""An ONNX graph as the passes in `onnx_passes/` work on it: its layers, kernels and channels, what it answers and what it costs."""
