"""Whether a SavedModel folder may be opened: told by its files and its graph, before TensorFlow loads it."""

import contextlib
import os
import re
import stat
from collections.abc import Collection, Iterator, Sequence
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
WRITING = ("SaveV2", "MergeV2Checkpoints")
SAVING = ("RestoreV2", *WRITING)
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
    functions_alone = len(saved.meta_graphs) == 1 and saved.meta_graphs[0].HasField("object_graph_def")
    for meta in saved.meta_graphs:
        check_graph(meta.graph_def, name)
        if not functions_alone:  # as TensorFlow 1 wrote it: parts of the graph itself are run
            _check_run(meta, name)


def _check_run(meta: Any, name: str) -> None:
    """ModelError if a part that a signature runs, or that runs when the model is loaded, comes after an operation that saves or restores.

    The graph of TensorFlow 1 holds those for its own weights, and nothing but the saver asks for what they give.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.framework.variable_pb2 import VariableDef

    run = [
        value.name
        for each in meta.signature_def.values()
        for ends in (each.inputs, each.outputs)
        for value in ends.values()
    ]
    for key, collection in meta.collection_def.items():
        run += collection.node_list.value
        for content in collection.bytes_list.value if key != "savers" else ():
            variable = VariableDef()
            with contextlib.suppress(DecodeError):  # of something else than a variable
                variable.ParseFromString(content)
            run += [variable.initializer_name, variable.snapshot_name, variable.initial_value_name]
    saver = meta.saver_def
    for roots, forbidden in ((run, SAVING), ([saver.restore_op_name, saver.filename_tensor_name], WRITING)):
        found = _before(roots, meta.graph_def, forbidden)
        if found is not None:
            raise _outside(found, name)


def _before(roots: Sequence[str], graph: Any, forbidden: Collection[str]) -> str | None:
    """Return an operation of `forbidden`, also in the functions that save, which runs where `roots` do; None: there is none."""
    nodes = {node.name: node for node in graph.node}
    saves = {each.signature.name for each in graph.library.function if OF_SAVING.match(each.signature.name)}
    waiting, seen = [_node(each) for each in roots], set[str]()
    while waiting:
        at = waiting.pop()
        if at in seen or at not in nodes:
            continue
        seen.add(at)
        node = nodes[at]
        if node.op in forbidden or any(each in saves for value in node.attr.values() for each in _called(value)):
            return str(node.op)
        waiting += map(_node, node.input)
    return None


def _node(tensor: str) -> str:
    """The name of the operation that gives a tensor, or that must run before."""
    return tensor.removeprefix("^").partition(":")[0]


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
                raise _outside(node.op, name)


def _outside(operation: str, name: str) -> ModelError:
    return ModelError(
        f"{name} holds the operation {shortened(operation, 100)}, which reaches files, a network or Python; edgepress runs no such code",
        hint="Export the part of the model that only computes: the function that takes the tensors and gives the answers.",
    )


def _parts(graph: Any) -> Iterator[tuple[str, Any]]:
    yield "", graph.node
    for function in graph.library.function:
        yield function.signature.name, function.node_def


def _called(attribute: Any) -> Iterator[str]:
    yield attribute.func.name
    yield from (each.name for each in attribute.list.func)
