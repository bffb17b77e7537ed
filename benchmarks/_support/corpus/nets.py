"""Small Keras nets, one for each kind of layer, and keras.applications without weights from outside.

Each is built with a seed of its own and saved as its name's ending says: .keras, .h5, or none for a SavedModel that
`model.export` writes.
"""

import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._support.corpus import net_parts as parts
from benchmarks._support.corpus.cases import Case
from benchmarks._support.corpus.packages import formats_of

L: Callable[[Any], Any] = lambda k: k.layers  # noqa: E731 - the table below is to be read line by line
NETS: dict[str, Callable[[Any], Any]] = {
    "dense.keras": lambda k: parts.line(k, L(k).Dense(8, "relu"), L(k).Dense(3, "softmax")),
    "dense.h5": lambda k: parts.line(k, L(k).Dense(8, "tanh"), L(k).Dense(3)),
    "dense": lambda k: parts.line(k, L(k).Dense(8, "relu"), L(k).Dense(3)),
    "einsum_dense.keras": lambda k: parts.line(
        k, L(k).EinsumDense("abc,cd->abd", (None, 6), bias_axes="d"), shape=(4, 5)
    ),
    "conv1d.keras": lambda k: parts.line(k, L(k).Conv1D(6, 3), L(k).Conv1D(4, 3, dilation_rate=2), shape=(20, 3)),
    "conv1d_causal.keras": lambda k: parts.line(k, L(k).Conv1D(6, 3, padding="causal", strides=2), shape=(21, 3)),
    "conv2d.keras": lambda k: parts.image(k, L(k).Conv2D(6, 3, activation="relu"), L(k).Conv2D(4, 3, 2, "same")),
    "conv2d.h5": lambda k: parts.image(k, L(k).Conv2D(6, 3, activation="relu")),
    "conv2d": lambda k: parts.image(k, L(k).Conv2D(6, 3, activation="relu")),
    "conv2d_groups.keras": lambda k: parts.image(k, L(k).Conv2D(8, 3, groups=2), shape=(12, 12, 4)),
    "conv2d_dilated.keras": lambda k: parts.image(k, L(k).Conv2D(4, 3, dilation_rate=2)),
    "conv3d.keras": lambda k: parts.line(k, L(k).Conv3D(4, 2), L(k).MaxPooling3D(), L(k).Flatten(), shape=(6, 6, 6, 2)),
    "depthwise1d.keras": lambda k: parts.line(k, L(k).DepthwiseConv1D(3), shape=(14, 4)),
    "depthwise2d.keras": lambda k: parts.image(k, L(k).DepthwiseConv2D(3, depth_multiplier=2)),
    "depthwise2d.h5": lambda k: parts.image(k, L(k).DepthwiseConv2D(3)),
    "separable1d.keras": lambda k: parts.line(k, L(k).SeparableConv1D(6, 3), shape=(14, 4)),
    "separable2d.keras": lambda k: parts.image(k, L(k).SeparableConv2D(6, 3)),
    "transposed1d.keras": lambda k: parts.line(k, L(k).Conv1DTranspose(4, 3, 2), shape=(7, 3)),
    "transposed2d.keras": lambda k: parts.line(k, L(k).Conv2DTranspose(4, 3, 2, "same"), shape=(6, 6, 3)),
    "transposed3d.keras": lambda k: parts.line(k, L(k).Conv3DTranspose(2, 2, 2), shape=(3, 3, 3, 2)),
    "pool1d.keras": lambda k: parts.line(k, L(k).MaxPooling1D(2), L(k).AveragePooling1D(2, 1, "same"), shape=(12, 3)),
    "pool2d.keras": lambda k: parts.line(
        k, L(k).MaxPooling2D(3, 2, "same"), L(k).AveragePooling2D(2), shape=(13, 13, 3)
    ),
    "pool3d.keras": lambda k: parts.line(k, L(k).AveragePooling3D(2), L(k).GlobalMaxPooling3D(), shape=(4, 4, 4, 2)),
    "global_pool.keras": lambda k: parts.line(k, L(k).GlobalMaxPooling2D(keepdims=True), shape=(5, 7, 3)),
    "lstm.keras": lambda k: parts.line(k, L(k).LSTM(6, return_sequences=True), L(k).LSTM(4), shape=(8, 3)),
    "lstm": lambda k: parts.line(k, L(k).LSTM(6), L(k).Dense(2), shape=(8, 3)),
    "gru.keras": lambda k: parts.line(k, L(k).GRU(6), L(k).Dense(2), shape=(8, 3)),
    "gru.h5": lambda k: parts.line(k, L(k).GRU(6, return_sequences=True), shape=(8, 3)),
    "simple_rnn.keras": lambda k: parts.line(k, L(k).SimpleRNN(6), shape=(8, 3)),
    "bidirectional.keras": lambda k: parts.line(k, L(k).Bidirectional(L(k).LSTM(4)), shape=(8, 3)),
    "rnn_cells.keras": lambda k: parts.line(k, L(k).RNN([L(k).GRUCell(4), L(k).LSTMCell(3)]), shape=(8, 3)),
    "time_distributed.keras": lambda k: parts.line(k, L(k).TimeDistributed(L(k).Dense(4)), shape=(5, 6)),
    "conv_lstm2d.keras": lambda k: parts.line(k, L(k).ConvLSTM2D(3, 2), shape=(3, 6, 6, 2)),
    "stateful_lstm.keras": lambda k: parts.line(k, L(k).LSTM(4, stateful=True), shape=(5, 3), batch_size=1),
    "stateful_gru.keras": lambda k: parts.line(k, L(k).GRU(4, stateful=True), shape=(1, 3), batch_size=1),
    "state_as_inputs.keras": parts.states,
    "embedding.keras": lambda k: parts.line(k, L(k).Embedding(30, 6), L(k).Flatten(), shape=(5,), dtype="int32"),
    "masked_embedding.keras": parts.masked,
    "masking.keras": lambda k: parts.line(k, L(k).Masking(0.0), L(k).GRU(3), shape=(6, 2)),
    "attention.keras": parts.attention,
    "attention_causal.keras": lambda k: parts.attention(k, use_causal_mask=True),
    "attention_cross.keras": parts.cross,
    "attention_grouped.keras": parts.grouped,
    "batch_norm.keras": lambda k: parts.image(k, L(k).Conv2D(4, 3), L(k).BatchNormalization(), L(k).ReLU(6)),
    "layer_norm.keras": lambda k: parts.line(k, L(k).LayerNormalization(), L(k).RMSNormalization()),
    "group_norm.keras": lambda k: parts.image(k, L(k).GroupNormalization(2), shape=(6, 6, 4)),
    "unit_norm.keras": lambda k: parts.line(k, L(k).UnitNormalization(), L(k).Dense(2)),
    "normalization.keras": lambda k: parts.line(k, L(k).Normalization(mean=1.5, variance=4.0), L(k).Dense(2)),
    "activations.keras": lambda k: parts.line(
        k,
        L(k).LeakyReLU(),
        L(k).PReLU(),
        L(k).ELU(),
        L(k).Activation("gelu"),
        L(k).Activation("hard_silu"),
        L(k).Softmax(),
    ),
    "activations_more.keras": lambda k: parts.line(
        k,
        *(
            L(k).Activation(each)
            for each in ("selu", "softplus", "softsign", "silu", "mish", "hard_sigmoid", "exponential")
        ),
    ),
    "dropouts.keras": lambda k: parts.line(
        k,
        L(k).Dropout(0.5),
        L(k).GaussianNoise(1.0),
        L(k).GaussianDropout(0.5),
        L(k).Dense(3),
        L(k).ActivityRegularization(),
    ),
    "reshapes.keras": lambda k: parts.line(
        k,
        L(k).Reshape((4, 4)),
        L(k).Permute((2, 1)),
        L(k).ZeroPadding1D(1),
        L(k).Cropping1D((0, 1)),
        L(k).UpSampling1D(2),
    ),
    "repeat_vector.keras": lambda k: parts.line(k, L(k).RepeatVector(3), L(k).Flatten(data_format="channels_last")),
    "padding2d.keras": lambda k: parts.line(
        k,
        L(k).ZeroPadding2D(((1, 2), (0, 1))),
        L(k).Cropping2D(1),
        L(k).UpSampling2D(2, interpolation="bilinear"),
        shape=(5, 6, 2),
    ),
    "rescaling.keras": lambda k: parts.image(
        k, L(k).Rescaling(1 / 127.5, -1), L(k).Resizing(8, 8), L(k).CenterCrop(6, 6)
    ),
    "augmentation.keras": lambda k: parts.image(
        k,
        L(k).RandomFlip(),
        L(k).RandomRotation(0.1),
        L(k).RandomZoom(0.1),
        L(k).RandomContrast(0.2),
        L(k).Conv2D(4, 3),
    ),
    "two_inputs_add.keras": lambda k: parts.two(k, L(k).Add()),
    "two_inputs_concatenate.keras": lambda k: parts.two(k, L(k).Concatenate()),
    "two_inputs_multiply.h5": lambda k: parts.two(k, L(k).Multiply()),
    "two_inputs": lambda k: parts.two(k, L(k).Maximum()),
    "two_heads.keras": parts.heads,
    "two_heads": parts.heads,
    "dictionary.keras": parts.dictionary,
    "shared_tower.keras": parts.shared,
    "residual.keras": parts.residual,
    "pyramid.keras": parts.pyramid,
    "nested.keras": parts.nested,
    "functions.keras": parts.functions,
    "input_passed_on.keras": parts.passed,
    "argmax.keras": parts.argmax,
    "batch_of_three.keras": parts.batch,
    "open_length.keras": lambda k: parts.line(k, L(k).Conv1D(4, 3), L(k).GlobalMaxPooling1D(), shape=(None, 3)),
    "open_image.keras": lambda k: parts.image(k, L(k).Conv2D(4, 3), shape=(None, None, 3)),
    "scalar_row.keras": parts.scalar,
    "integers_in.keras": lambda k: parts.line(k, L(k).Rescaling(0.5), L(k).Dense(2), dtype="uint8"),
    "mixed_float16_conv.keras": lambda k: parts.mixed(
        k, partial(L(k).Conv2D, 4, 3), L(k).Flatten, partial(L(k).Dense, 3)
    ),
    "mixed_float16_dense.keras": lambda k: parts.mixed(k, partial(L(k).Dense, 8), partial(L(k).Dense, 3), shape=(16,)),
    "float64.keras": lambda k: parts.line(k, L(k).Dense(3, dtype="float64"), dtype="float64"),
}

# One of each family and version, with the least height and width that it takes.
APPLICATIONS = {
    "ConvNeXtTiny": 32, "DenseNet121": 32, "EfficientNetB0": 32, "EfficientNetV2B0": 32, "InceptionResNetV2": 75,
    "InceptionV3": 75, "MobileNet": 32, "MobileNetV2": 32, "MobileNetV3Small": 32, "NASNetMobile": 32, "ResNet50": 32,
    "ResNet50V2": 32, "VGG16": 32, "Xception": 71,
}  # fmt: skip


def cases(folder: Path) -> list[Case]:
    found = [_case("keras-nets", folder / "nets" / name, build) for name, build in NETS.items()]
    return found + [
        _case("keras-applications", folder / "applications" / f"{name}.keras", partial(_application, name, size))
        for name, size in APPLICATIONS.items()
    ]


def _application(name: str, size: int, k):
    """Its normalizations know its activations: without that, random weights let the answers vanish, and all are alike."""
    model = getattr(k.applications, name)(
        weights=None, input_shape=(size, size, 3), classes=10, classifier_activation=None
    )
    norms = [layer for layer in model.layers if isinstance(layer, k.layers.BatchNormalization)]
    momentum = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    model(k.random.normal((8, size, size, 3)), training=True)
    for layer, before in zip(norms, momentum, strict=True):
        layer.momentum = before
    return model


def _case(group: str, path: Path, build: Callable[[Any], Any]) -> Case:
    kind = "keras" if path.suffix else "saved_model"
    formats = ("tflite-fp32",) if path.name.startswith("stateful") else formats_of(kind)  # ONNX has no variables
    return Case(group, path.name, kind, path, make=partial(_save, path, build), formats=formats)


def _save(path: Path, build: Callable[[Any], Any]) -> None:
    """In a child: build with a seed of the name's own, and write. Half a file is never left under the name."""
    import keras

    keras.utils.set_random_seed(zlib.crc32(path.name.encode()))
    model = build(keras)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_path = path.with_name(f"partial-{path.name}")
    if path.suffix:
        model.save(partial_path)
    else:
        model.export(partial_path, verbose=False)
    partial_path.rename(path)


def make(group: str, name: str, folder: Path) -> None:
    """In a child: write the file of the case of this name."""
    (case,) = (each for each in cases(folder) if (each.group, each.name) == (group, name))
    if case.make is not None and not case.path.exists():
        case.make()
