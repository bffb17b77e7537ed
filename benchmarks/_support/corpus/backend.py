"""The tests of the onnx package for those who run ONNX, with the inputs and the answers that they expect.

Those of single nodes are made by the package's code; the others lie in it as files. One data set of a test is one row.
"""

import json
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from benchmarks._support.corpus.cases import Case

FILES = ("simple", "pytorch-converted", "pytorch-operator")


def cases(folder: Path) -> list[Case]:
    folder = folder / f"onnx-{metadata.version('onnx')}"
    if not (folder / "made").exists():
        _write_nodes(folder / "node")
        _copy_files(folder)
        (folder / "made").touch()
    found = []
    for kind in ("node", *FILES):
        group = "onnx-node" if kind == "node" else "onnx-other"
        found += [
            Case(group, f"{kind}/{each.name}", "onnx", each / "model.onnx", given=each)
            for each in sorted((folder / kind).iterdir())
        ]
    return found


def _copy_files(folder: Path) -> None:
    import onnx

    data = Path(onnx.__file__).parent / "backend" / "test" / "data"
    for kind in FILES:
        shutil.copytree(data / kind, folder / kind, dirs_exist_ok=True)


def _write_nodes(folder: Path) -> None:
    """Write each as the other tests are kept: model.onnx, and input_0.pb, output_0.pb ... for each data set."""
    import onnx
    from onnx.backend.test.case.node import collect_testcases

    for case in collect_testcases(None):
        of_case = folder / case.name
        of_case.mkdir(parents=True, exist_ok=True)
        onnx.save(case.model, of_case / "model.onnx")
        (of_case / "tolerance.json").write_text(json.dumps({"rtol": case.rtol, "atol": case.atol}))
        for number, (inputs, outputs) in enumerate(case.data_sets):
            data = of_case / f"test_data_set_{number}"
            data.mkdir(exist_ok=True)
            graph = case.model.graph
            for what, values, types in (("input", inputs, graph.input), ("output", outputs, graph.output)):
                for index, (value, described) in enumerate(zip(values, types, strict=False)):
                    (data / f"{what}_{index}.pb").write_bytes(_bytes(value, described))


def _bytes(value, described) -> bytes:
    import onnx
    from onnx import numpy_helper

    if hasattr(value, "SerializeToString"):
        return value.SerializeToString()
    if described.type.HasField("map_type"):
        return numpy_helper.from_dict(value, described.name).SerializeToString()
    if described.type.HasField("sequence_type"):
        return numpy_helper.from_list(value, described.name).SerializeToString()
    if described.type.HasField("optional_type"):
        kind = onnx.OptionalProto.TENSOR
        if described.type.optional_type.elem_type.HasField("sequence_type"):
            kind = onnx.OptionalProto.SEQUENCE
        return numpy_helper.from_optional(
            value, described.name, kind if value is not None else None
        ).SerializeToString()
    return numpy_helper.from_array(value, described.name).SerializeToString()


def data_sets(folder: Path, model) -> Iterator[tuple[dict[str, object], list[object]]]:
    """Yield the inputs by name and the expected outputs of each data set; a value other than a tensor is a list or None.

    `model` is the onnx.ModelProto: the files tell the order alone.
    """
    constants = {each.name for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in constants or model.ir_version < 4]
    for data in sorted(folder.glob("test_data_set_*")):
        given = {
            each.name: _value(data / f"input_{index}.pb", each)
            for index, each in enumerate(inputs)
            if (data / f"input_{index}.pb").exists()
        }
        expected = [
            _value(data / f"output_{index}.pb", each)
            for index, each in enumerate(model.graph.output)
            if (data / f"output_{index}.pb").exists()
        ]
        yield given, expected


def _value(path: Path, described) -> object:
    import onnx
    from onnx import numpy_helper

    content = path.read_bytes()
    if described.type.HasField("sequence_type"):
        return numpy_helper.to_list(onnx.SequenceProto.FromString(content))
    if described.type.HasField("optional_type"):
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(content))
    if described.type.HasField("map_type"):
        return numpy_helper.to_dict(onnx.MapProto.FromString(content))
    return numpy_helper.to_array(onnx.TensorProto.FromString(content))
