"""What a model's file is, by reading it: how much of it computes in integers, what does not and why, what it needs, what it wastes.

No runtime is asked. A file that was made by somebody else is untrusted: everything that is read is bounded.
"""

from collections.abc import Sequence
from pathlib import Path

from pipeline import bounds, child, units
from pipeline.audit import claims, memory, needs
from pipeline.audit.graph import Graph, Value
from pipeline.audit.islands import islands
from pipeline.audit.kinds import KINDS, Computed, computed
from pipeline.audit.waste import moves, waste
from pipeline.child import Tell
from pipeline.child_watch import Bounds
from pipeline.errors import ModelError
from pipeline.records import Record
from pipeline.records.audit import Audit, AuditedOperator, Border, Island, Share
from pipeline.safe_text import shortened

FAMILIES = {".tflite": "tflite", ".lite": "tflite", ".onnx": "onnx"}
SECONDS, MEMORY_BYTES = 60.0, 2 << 30
MOST_BYTES = 2**31 - 1
LISTED = 5


class Request(Record, frozen=True):
    path: str


def audit(path: Path) -> Audit:
    """Audit a .tflite or .onnx file. ModelError if it is neither or damaged; ChildError if it takes more time or memory than any file needs."""
    family = FAMILIES.get(path.suffix.lower())
    if family is None:
        raise ModelError(
            f"{path.name} is neither a .tflite nor an .onnx file", hint="Convert it first: edgepress convert edge.toml."
        )
    size = _size(path)
    if family == "tflite":
        from pipeline.audit import tflite

        return _audited(tflite.graph_of(path.read_bytes(), path.name), path.name, size)
    limits = Bounds(SECONDS, "", MEMORY_BYTES if size < MEMORY_BYTES // 4 else bounds.default_bytes())
    return child.run(
        work, Request(path=str(path.resolve())), Audit, _silent, doing=f"auditing {shortened(path.name, 100)}",
        limits=limits, fault=ModelError,
    )  # fmt: skip


def work(argument: Request, tell: Tell) -> Audit:
    """Audit an ONNX model. In a child: onnx is native code."""
    del tell
    from pipeline.audit import onnx

    path = Path(argument.path)
    return _audited(onnx.graph_of(path, path.name), path.name, _size(path))


def _size(path: Path) -> int:
    try:
        size = path.stat().st_size
        regular = path.is_file()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}", hint="Name a file that exists.") from error
    if not regular:
        raise ModelError(f"{path} is not a file", hint="Name a .tflite or an .onnx file.")
    if size > MOST_BYTES:
        raise ModelError(
            f"{path.name} has {size:,} bytes, and files of up to 2 GiB are read",
            hint="Keep its weights in other files.",
        )
    return size


def _silent(done: int, of: int, note: str) -> None:
    del done, of, note


def _audited(graph: Graph, name: str, size_bytes: int) -> Audit:
    found = computed(graph)
    main = [each for each in found if each.operator.graph == 0]
    macs = [each.operator.macs for each in main]
    total = None if None in macs else sum(each or 0 for each in macs)
    claim = claims.claim_of(name)
    broken = claims.broken(claim, found) if claim else ""
    land, ran = islands(found), needs.runs(graph, found)
    wasted = waste(graph.main(), graph.family)
    return Audit(
        file=name,
        family=graph.family,
        size_bytes=size_bytes,
        operators=tuple(map(_operator, found)),
        shares=_shares(main, total),
        macs=total,
        parameters=sum({each.key: each.elements or 0 for each in graph.constants}.values()),
        islands=land,
        waste=wasted,
        moves=moves(graph.main()),
        inputs=tuple(map(_border, graph.inputs)),
        outputs=tuple(map(_border, graph.outputs)),
        activation_bytes=memory.peak_bytes(graph),
        constant_bytes=memory.constant_bytes(graph),
        needs=needs.needs(graph),
        runs=ran,
        is_what_it_claims=not broken if claim else None,
        findings=tuple(_findings(graph, main, claim, broken, land, needs.understated(graph, ran))),
    )


def _shares(main: Sequence[Computed], total: int | None) -> dict[str, Share]:
    shares = {}
    for kind in KINDS:
        of = [each.operator.macs or 0 for each in main if each.kind == kind]
        if of:
            shares[kind] = Share(operators=len(of), macs=sum(of), macs_ratio=sum(of) / total if total else None)
    return shares


def _operator(each: Computed) -> AuditedOperator:
    operator = each.operator
    made = operator.outputs[0] if operator.outputs else Value("", "", "", None)
    return AuditedOperator(
        kind=operator.kind,
        version=operator.version,
        name=made.name,
        dtype=made.dtype,
        shape=made.shape,
        arithmetic=each.kind,
        stored=each.stored,
        parameters=sum(value.elements or 0 for value in operator.inputs if value is not None and value.constant),
        macs=operator.macs,
        graph=operator.graph,
    )


def _border(value: Value) -> Border:
    return Border(name=value.name, dtype=value.dtype, shape=value.shape, scale=value.scale, zero_point=value.zero_point)


def _findings(
    graph: Graph, main: Sequence[Computed], claim: str, broken: str, land: Sequence[Island], understated: str
) -> list[str]:
    found = []
    if broken:
        found.append(f"It is called {claim}, and is not: {broken}.")
    wrong = needs.silently_wrong(main) if graph.family == "tflite" else ()
    if wrong:
        found.append(
            f"tflite-runtime 2.14 and older answer wrongly, without an error: {needs.PER_CHANNEL_HYBRID}, in {len(wrong)} operators "
            f"that say version {wrong[0].version}. Run it in LiteRT, or quantize with one scale for all channels."
        )
    if understated:
        found.append(f"{understated[0].upper()}{understated[1:]}.")
    for each in land[:LISTED]:
        many = f"{each.operators} operators stay" if each.operators > 1 else "1 operator stays"
        found.append(f"{many} floating point among integers, from {each.maker} '{shortened(each.at, 60)}' on.")
    if len(land) > LISTED:
        found.append(f"{len(land) - LISTED} more runs of floating point operators.")
    found += [
        f"The input '{shortened(each.name, 60)}' is {units.shape(each.shape)}: how much is multiplied, and the memory, depend on the rows."
        for each in graph.open_inputs
    ]
    unknown = sorted({each.operator.kind for each in main if each.operator.macs is None})
    if unknown and not graph.open_inputs:
        found.append(f"How much {', '.join(unknown[:LISTED])} multiplies is not known: no share of all is given.")
    return found
