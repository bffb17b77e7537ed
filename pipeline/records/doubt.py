"""What speaks against a number."""

from pipeline.records.base import Record


class Doubt(Record, frozen=True):
    """Why a number should not be trusted, and what would make it trustworthy."""

    what: str
    evidence: str
    remedy: str
    invalid: bool = False  # True: the number must not be used at all
    decides_nothing: bool = False  # True: the number may be shown, but no limit is judged by it
    touches: str = "latency"  # which number: latency, accuracy, energy, or "energy METER"
    # which gate says nothing then: "tail", of the upper quantiles; "run": whatever its limits say, the run is not PASS
    withholds: str = ""
