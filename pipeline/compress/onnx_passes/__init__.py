"""Passes over ONNX graphs: what can be done to a trained network without training it."""
