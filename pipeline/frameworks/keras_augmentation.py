"""Layers that change rows at random in training and pass them on at inference: they must not come into an exported file.

Keras computes their random numbers at inference, too, and throws them away; the converter of TFLite has no form of that (seen with
Keras 3.15, TensorFlow 2.21).
"""

from typing import Any

from pipeline.frameworks.types import KerasModel, KerasTensor

SILENT = {
    "AugMix", "CutMix", "MixUp", "RandAugment", "RandomBrightness", "RandomColorDegeneration", "RandomColorJitter", "RandomContrast",
    "RandomElasticTransform", "RandomErasing", "RandomFlip", "RandomGaussianBlur", "RandomGrayscale", "RandomHue", "RandomInvert",
    "RandomPerspective", "RandomPosterization", "RandomRotation", "RandomSaturation", "RandomSharpness", "RandomShear",
    "RandomTranslation", "RandomZoom",
}  # fmt: skip
"""Those that pass rows on unchanged at inference. RandomCrop does not: it cuts out the middle."""


def silence(model: KerasModel) -> tuple[str, ...]:
    """Let augmentation pass on what it is given, in this model in memory; the names of those layers. Its file keeps them for training."""
    found = []
    for layer in model._flatten_layers(include_self=False):  # noqa: SLF001 - Keras has no public way into layers in layers
        if type(layer).__name__ in SILENT and type(layer).__module__.startswith("keras."):
            layer.call = _passed_on
            found.append(layer.name)
    return tuple(found)


def _passed_on(data: KerasTensor, training: Any = False) -> KerasTensor:  # noqa: ARG001 - as Keras calls it
    return data
