"""Making a model ready for quantization-aware training: batch normalisation folded, rounding inserted."""
