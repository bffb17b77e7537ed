"""Whether a SavedModel folder may be opened: told by its files and its graph, before TensorFlow loads it."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline import bounds
from pipeline.errors import ModelError
from pipeline.safe_text import shortened

GRAPH = "saved_model.pb"
MOST_FILES = 10_000
MOST_GRAPH_BYTES = 2**31 - 1  # of a protocol buffer
OUTSIDE = re.compile(
    "File|PyFunc|Reader|Dataset|Summary|^Debug|^Save|^Restore|MergeV2Checkpoints|Snapshot|Rpc|^PrintV2$|LMDB"
)
"""Operations of TensorFlow that read or write files, run Python or reach a network, by what their names have in common."""
HARMLESS = (
    "InitializeTableFromTextFile",  # of a lookup: it reads words from the folder's assets
    "InitializeTableFromTextFileV2",
    "ShardedFilename",  # makes a text
)
SAVING = ("SaveV2", "RestoreV2", "MergeV2Checkpoints")
OF_SAVING = re.compile(r"^__inference__traced_(save|restore)_?\d*$")
"""Functions that every SavedModel has for its own weights, and that nothing calls here."""


def check(folder: Path, name: str) -> None:
    """ModelError unless the folder is a SavedModel of sound size whose graph keeps to itself. It is not loaded."""
    check_folder(folder, name)
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((folder / GRAPH).read_bytes())
    except DecodeError as error:
        raise damaged(name) from error
    for graph in saved.meta_graphs:
        check_graph(graph.graph_def, name)


def damaged(name: str) -> ModelError:
    """Return the error for a graph that is cut off."""
    return ModelError(
        f"{name} is damaged: its {GRAPH} cannot be read to its end",
        hint="It was probably cut off while it was copied: copy the folder again, or export it again.",
    )


def check_folder(folder: Path, name: str) -> int:
    """Return the size of a SavedModel in bytes. ModelError as for `files_in`."""
    return sum(files_in(folder, name).values())


def files_in(folder: Path, name: str, of_bytes: int | None = None) -> dict[str, int]:
    """Return every file of a SavedModel with its size in bytes, by its path in the folder. No file is opened.

    ModelError if it is not a SavedModel, is too large for the memory (`of_bytes`: if not this process's), or leads out of the folder: a
    link may lead anywhere, so none is followed, and a SavedModel is ordinary files and folders.
    """
    sizes: dict[str, int] = {}

    def unreadable(error: OSError) -> None:
        raise ModelError(
            f"{name}: {shortened(str(error.filename), 200)} cannot be read: {error.strerror}",
            hint="Give yourself the right to read the whole folder.",
        ) from error

    for at, folders, files in os.walk(folder, onerror=unreadable) if (folder / GRAPH).exists() else ():
        for each in (*folders, *files):
            path = Path(at) / each
            mode = path.lstat().st_mode
            if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
                raise ModelError(
                    f"{name}: {shortened(str(path.relative_to(folder)), 200)} is not an ordinary file",
                    hint="Links and devices are not followed. Copy the folder with its content: cp -rL.",
                )
            if stat.S_ISREG(mode):
                sizes[str(path.relative_to(folder))] = path.lstat().st_size
        if len(sizes) > MOST_FILES:
            raise ModelError(
                f"{name} has more than {MOST_FILES:,} files, which no SavedModel has",
                hint="Give the folder of the SavedModel itself.",
            )
    if GRAPH not in sizes:
        raise ModelError(
            f"{name} is not a SavedModel: it has no file {GRAPH}",
            hint="Give the folder that model.export(folder) or tf.saved_model.save wrote.",
        )
    if sizes[GRAPH] > MOST_GRAPH_BYTES:
        raise ModelError(
            f"{name}: its {GRAPH} has {sizes[GRAPH]:,} bytes, and 2 GiB is the most that TensorFlow reads",
            hint="Export it again, with its weights as variables.",
        )
    total = sum(sizes.values())
    bounds.check_unpacked(total, total, name, ModelError, of_bytes=of_bytes)
    return sizes


def check_graph(graph: Any, name: str) -> None:
    """ModelError if a graph (a GraphDef) could do more than compute, but for the functions that save its own weights."""
    called = {
        each
        for function in graph.library.function
        for node in function.node_def
        for attribute in node.attr.values()
        for each in _called(attribute)
    }
    for where, nodes in _parts(graph):
        own = OF_SAVING.match(where) and where not in called
        for node in nodes:
            if OUTSIDE.search(node.op) and node.op not in HARMLESS and not ((own or not where) and node.op in SAVING):
                raise ModelError(
                    f"{name} holds the operation {shortened(node.op, 100)}, which reaches files, a network or Python; edgepress runs no such code",
                    hint="Export the part of the model that only computes: the function that takes the tensors and gives the answers.",
                )


def _parts(graph: Any) -> Iterator[tuple[str, Any]]:
    yield "", graph.node
    for function in graph.library.function:
        yield function.signature.name, function.node_def


def _called(attribute: Any) -> Iterator[str]:
    yield attribute.func.name
    yield from (each.name for each in attribute.list.func)
