"""The table of energies: each meter's reading of each file, with the parts of its uncertainty."""

from pipeline import units
from pipeline.records import EnergyParts, EnergyReading, RunRecord
from pipeline.report.tables._columns import table_of
from pipeline.report.tables.tensors import one_inference
from pipeline.report.trust import INVALID, Trust, energy_mark_of, guarded
from pipeline.report.view import Shown, Table, Topic

TOPIC = Topic.RESOURCES
SHOWN = Shown.DETAILS
COLUMNS = (
    "measurement|meter|class|net>|gross>|gain>|sampling>|clock>|idle>|window>|readings>|idle before, after>|measures"
)
NOTE = (
    ", with the half-width of the 95 % interval. Net: less what the board uses when it waits. Gain (of the meter), "
    'sampling, clock (of the meter against the board) and idle are the parts of the net value\'s uncertainty. A gain of "-": no source '
    "says how exact this meter is, and the interval is of the rest only; differences between files suffer less. Coarse: the rail or "
    "the rate is such that only large differences count. edgepress was not tried with any power meter's hardware yet."
)


def table(run: RunRecord, _trust: Trust) -> Table:
    """A line for each meter and file; none where no meter watched."""
    lines = [
        (one.label, *_cells(reading, energy_mark_of(one)))
        for one in run.measured.measurements
        for reading in one.energy.readings
    ]
    return table_of("Energy", COLUMNS, lines, f"Of {one_inference(run)}{NOTE}" if lines else "")


def _cells(reading: EnergyReading, mark: str) -> tuple[str, ...]:
    if reading.net is None or reading.gross is None or reading.invalid:
        return (reading.meter, reading.quality, *[INVALID] * 2, *[units.UNKNOWN] * 7, reading.invalid or reading.rail)
    return (
        reading.meter,
        reading.quality,
        guarded(units.energy_within(reading.net_j, reading.net.total_j), mark),
        guarded(units.energy_within(reading.gross_j, reading.gross.total_j), mark),
        *_parts(reading.net),
        units.seconds(reading.window_s),
        f"{units.count(reading.readings)}, {units.count(reading.dropped)} of {units.count(reading.expected)} missing",
        f"{units.power(reading.idle_before_w)}, {units.power(reading.idle_after_w)}",
        reading.rail,
    )


def _parts(parts: EnergyParts) -> tuple[str, ...]:
    return tuple(units.energy(part) for part in (parts.gain_j, parts.sampling_j, parts.sync_j, parts.idle_j))
