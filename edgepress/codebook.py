"""Open the container that the pass `codebook` writes (docs/codebook.md).

read            bytes -> name -> array, exactly the weights of the compressed model
restore_keras   into a Keras model of the same architecture
restore_onnx    into an onnx.ModelProto with constants of the same names
"""

from pipeline.compress.codebooks.container_file import read
from pipeline.compress.codebooks.container_file import restore as restore_keras
from pipeline.compress.onnx_passes.codebook import restore as restore_onnx

__all__ = ["read", "restore_keras", "restore_onnx"]
