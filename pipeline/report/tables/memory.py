"""Memory at each step of a launch."""

from pipeline import units
from pipeline.records import RunRecord
from pipeline.report.tables._columns import table_of
from pipeline.report.trust import Trust
from pipeline.report.view import Shown, Table, Topic

TOPIC = Topic.RESOURCES
SHOWN = Shown.DETAILS


def table(run: RunRecord, _trust: Trust) -> Table:
    """Resident memory at each step, anonymous and file-backed apart: tools that give one number mislead."""
    lines = [
        (
            one.label if number == 0 else "",
            step.step.replace("_", " "),
            units.size(step.resident_bytes),
            units.size(step.anonymous_bytes),
            units.size(step.file_bytes),
            units.size(step.private_dirty_bytes),
        )
        for one in run.measured.measurements
        for number, step in enumerate(one.memory.steps)
    ]
    return table_of(
        "Memory in steps",
        "measurement|after|resident>|anonymous>|file-backed>|private dirty>",
        lines,
        "Of the launch with the median peak. Model memory in the results is the growth of anonymous memory from "
        '"runtime imported" to the end, without the rows that were made ready; file-backed pages can be dropped and read again. What "allocated" adds to "model loaded" are '
        "TensorFlow Lite's arena and repacked weights together: it does not report the arena alone."
        + _gpu_shared(run)
        + _of_job(run),
    )


def _gpu_shared(run: RunRecord) -> str:
    """On the boards that it is for, a GPU's memory is the board's own."""
    known = [(one.label, one.memory.gpu_shared_bytes) for one in run.measured.measurements]
    found = ", ".join(f"{label} {units.size(value)}" for label, value in known if value is not None)
    return (
        f" Less memory available on the whole board at the end, a GPU's and other programs' included: {found}."
        if found
        else ""
    )


def _of_job(run: RunRecord) -> str:
    """Not judged: the page cache depends on what was read before."""
    peak = run.measured.job_peak_bytes
    known = f"at most {units.size(peak)}, with the page cache charged to it (its control group; not judged)"
    return "" if peak is None else f" All launches of files alone, as one job: {known}."
