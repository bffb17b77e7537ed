"""The state of the board around each measurement."""

from pipeline import units
from pipeline.records import Conditions, Measurement, RunRecord
from pipeline.report.tables._columns import table_of
from pipeline.report.trust import Trust
from pipeline.report.view import Shown, Table, Topic

TOPIC = Topic.BOARD
SHOWN = Shown.DETAILS


def table(run: RunRecord, _trust: Trust) -> Table:
    """The state of the board before and after each measurement."""
    return table_of(
        "Conditions, before → after",
        "measurement|temperature>|clock>|governor|throttle flags>|load average>|CPU pressure>|free memory>",
        [(one.label, *_states(one)) for one in run.measured.measurements],
        "CPU pressure: the share of the last 10 s in which some task waited for a CPU.",
    )


def _states(measurement: Measurement) -> tuple[str, ...]:
    def state(one: Conditions) -> tuple[str, ...]:
        return (
            units.temperature(one.temperature_c),
            units.frequency(one.cpu_khz),
            one.governor or units.UNKNOWN,
            units.flags(one.throttle_flags),
            units.number(one.load_average),
            units.percent(one.cpu_pressure_ratio),
            units.size(one.available_bytes),
        )

    pairs = zip(state(measurement.before), state(measurement.after), strict=True)
    return tuple(before if before == after else f"{before} → {after}" for before, after in pairs)
