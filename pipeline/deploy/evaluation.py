"""Which evaluation rows the board answers, what their columns are there, and what the answers cost on the way back."""

import io
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline import units
from pipeline.errors import PlanError
from pipeline.plan import Plan
from pipeline.plan_tables import MeasureTable
from pipeline.records import VARIANTS, Artifact, Converted, Data
from pipeline.safe_text import shortened
from pipeline.store import Store
from targets import provision

SAID_FROM_BYTES = 50_000_000  # of answers: below, they arrive in seconds over any network
ASSUMED_BYTES_S = 10_000_000  # 100 Mbit/s, as most boards have it by cable
TRUSTED_BYTES = 4_000_000  # of an upload: one of less says little about the link


class EvaluationRows(NamedTuple):
    """`columns`: one for each of data.evaluation.inputs, with the rows `indices` of the set; constants are whole."""

    indices: Artifact
    columns: tuple[Artifact, ...]
    number: int


def check(plan: Plan) -> None:
    """Raise PlanError where there are constants and no rows: the board would be given zeros for both."""
    constants = plan.tables.model.constants
    if constants and plan.tables.data.evaluation is None:
        raise PlanError(
            f"{plan.path}: model.constants names '{shortened(min(constants), 100)}', and without rows the board runs on zeros",
            hint="Give rows with [data] evaluation, one is enough; or leave constants out, to measure with zeros.",
        )


def evaluation_rows(
    plan: Plan, data: Data, converted: Sequence[Converted], store: Store, say: Callable[[str], None]
) -> EvaluationRows | None:
    """All rows, or a random choice seeded by the plan, so no class is favoured: as many as the plan says, and as `answer_bytes` allows.
    None: there are no rows, and the board runs on zeros.
    """
    rows = data.evaluation
    if rows is None:
        return None
    table = plan.tables.measure
    wanted = min(rows.rows, table.evaluation_rows or rows.rows)
    answered = [each for each in converted if each.variant in VARIANTS]  # the others are of the ledger
    row_bytes = max((answer_bytes(each, table, store) for each in answered), default=0.0)
    if row_bytes * wanted > table.answer_bytes:
        may = max(1, int(table.answer_bytes / row_bytes))
        whole, rest = units.size(row_bytes * wanted), units.size(row_bytes * may)
        say(
            f"the board answers {units.counted(may, 'evaluation row')} of {units.count(wanted)}, drawn by the seed: a file's answers to "
            f"all are {whole}, to these {rest} ([measure] answer_bytes)"
        )
        wanted = may
    if wanted >= rows.rows:
        indices = np.arange(rows.rows)
        columns = tuple(each.artifact for each in rows.inputs)
    else:
        indices = np.sort(np.random.default_rng(plan.tables.seed).choice(rows.rows, wanted, replace=False))
        columns = tuple(
            each.artifact if each.constant else _chosen(each.artifact, indices, store) for each in rows.inputs
        )
    file = io.BytesIO()
    np.save(file, indices, allow_pickle=False)
    return EvaluationRows(store.put_bytes(file.getvalue(), "npy"), columns, len(indices))


def answer_bytes(converted: Converted, table: MeasureTable, store: Store) -> float:
    """What a board answers for one row of the evaluation set: as much as this host. 0: this host has no runtime for the file."""
    found = 0.0
    for each in converted.answers:
        answers = np.load(store.path(each), mmap_mode="r", allow_pickle=False)
        halved = table.answers == "float16" and answers.dtype.kind == "f"
        found += answers.nbytes / max(1, len(answers)) / (2 if halved else 1)
    return found


def cost_of_answers(
    plan: Plan,
    converted: Sequence[Converted],
    runtimes: Sequence[str],
    count: int,
    store: Store,
    bytes_s: float | None,
) -> str:
    """A sentence on what all answers take on their way back; "": little. `bytes_s`: of this link, None: not known."""
    total = 0.0
    for each in converted:
        runs = [name for name in runtimes if each.artifact.format in provision.RUNTIMES[name].formats]
        if each.variant in VARIANTS:
            total += len(runs) * count * answer_bytes(each, plan.tables.measure, store)
    if total <= SAID_FROM_BYTES:
        return ""
    how = "as fast as the files went there" if bytes_s else f"if the link takes {units.size(ASSUMED_BYTES_S)}/s"
    took = units.duration(total / (bytes_s or ASSUMED_BYTES_S))
    return f"the board's answers are {units.size(total)} in all: some {took}, {how} ([measure] answer_bytes, answers)"


def end_to_end_files(data: Data, say: Callable[[str], None]) -> tuple[Artifact, ...]:
    """Return what else goes to the board where the user's functions are timed there: rows as they are before them, and their files."""
    asked = data.end_to_end
    if asked is None:
        return ()
    functions = [each for each in (asked.preprocess, asked.postprocess) if each is not None]
    rows = [each.artifact for each in asked.before.columns]
    files = " and ".join(dict.fromkeys(f"{each.module}.py" for each in functions))
    before = " as they are before [task] preprocess" if asked.preprocess else ""
    say(
        f"{files} runs on the board, on {units.counted(asked.before.rows, 'evaluation row')}{before}, drawn by the seed "
        f"({units.size(sum(each.size_bytes for each in rows))})"
    )
    return (*rows, *(each.file for each in functions))


def rate_of(sent_bytes: int, seconds: float) -> float | None:
    """Bytes a second of an upload; None: it was too short to say."""
    return sent_bytes / seconds if sent_bytes >= TRUSTED_BYTES and seconds > 0 else None


def _chosen(column: Artifact, indices: npt.NDArray[Any], store: Store) -> Artifact:
    """Put these rows of a column into the store, row by row: the column may be larger than memory."""
    x = np.load(store.path(column), mmap_mode="r", allow_pickle=False)
    return store.put_parts(partial(_parts, x, indices), "npy")


def _parts(x: npt.NDArray[Any], indices: npt.NDArray[Any]) -> Iterator[bytes]:
    head = io.BytesIO()
    shape = (len(indices), *x.shape[1:])
    fields = {"descr": np.lib.format.dtype_to_descr(x.dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(head, fields)
    yield head.getvalue()
    for index in indices:
        yield np.asarray(x[index]).tobytes()
