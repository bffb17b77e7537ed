"""What the board reported about itself."""

from pipeline import units
from pipeline.records import RunRecord
from pipeline.report.tables._columns import table_of
from pipeline.report.trust import Trust
from pipeline.report.view import Shown, Table, Topic

TOPIC = Topic.BOARD
SHOWN = Shown.DETAILS


def table(run: RunRecord, _trust: Trust) -> Table:
    """What the board reported about itself."""
    deployment, board = run.deployment, run.deployment.board
    lines = [
        ("target", deployment.target),
        ("address", deployment.address),
        (
            "kind",
            "an emulated machine, not a board"
            if board.emulated
            else "a board"
            if board.is_board
            else "this machine, not a board",
        ),
        ("model", board.model),
        ("processor", f"{units.count(board.cpu_count)} × {board.cpu}, {board.arch}"),  # noqa: RUF001 - a multiplication sign
        ("highest clock", units.frequency(board.cpu_max_khz)),
        ("governor", board.governor or units.UNKNOWN),
        ("memory", units.size(board.memory_bytes)),
        ("system", board.os),
        ("kernel", board.kernel),
        ("C library", board.libc),
        ("Python", board.python),
        ("agent", f"sha256 {deployment.agent_sha256}"),
        ("first answer", units.seconds(deployment.first_answer_s)),
        ("sent in this run", units.size(deployment.sent_bytes)),
    ]
    if deployment.note:
        lines.append(("note", deployment.note))
    return table_of("What the board was", "fact|value", lines, facts=True)


def place(run: RunRecord) -> str:
    """What the report calls the machine that measured."""
    board = run.deployment.board
    if board.emulated:
        return "an emulated machine"
    return "the board" if board.is_board else "this machine"
