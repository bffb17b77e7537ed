"""Stage 4, deploy: what is on the board, and what the board is."""

from pipeline import units
from pipeline.records.artifact import Artifact
from pipeline.records.base import Record, Sha256


class BoardFacts(Record, frozen=True):
    """What the board reported about itself. None: it does not report it."""

    model: str
    cpu: str
    cpu_count: int
    arch: str
    kernel: str
    os: str
    python: str
    libc: str
    memory_bytes: int | None
    cpu_max_khz: int | None
    governor: str | None
    is_board: bool  # False for local and virtual: this machine, which is not the board that will run the model
    emulated: bool = False  # True: its processor is a program, and every timing is of that program


class DeployedRuntime(Record, frozen=True):
    name: str
    sites: tuple[Sha256, ...]  # on the board, one for each of `packages`; (): it needs none
    packages: tuple[str, ...]  # wheel file names
    sent_bytes: int  # 0: was already there


class DeployedFile(Record, frozen=True):
    artifact: Artifact
    sent_bytes: int  # 0: was already there


class DeployedMeter(Record, frozen=True):
    """A power meter that watches the run."""

    name: str
    settings: tuple[tuple[str, str], ...]
    on_board: bool  # False: this machine reads it
    rail: str
    quality: str  # measured, coarse
    period_s: float
    accumulates: bool  # it adds up energy itself


class Deployment(Record, frozen=True):
    target: str
    address: str
    board: BoardFacts
    agent_sha256: Sha256
    agent_sent_bytes: int  # 0: was already there
    first_answer_s: float  # from the authenticated connection to the agent's hello
    runtimes: tuple[DeployedRuntime, ...]
    files: tuple[DeployedFile, ...]
    evaluation: tuple[DeployedFile, ...] = ()  # the rows that the board answers, for each of data.evaluation.inputs
    evaluation_indices: Artifact | None = None  # which of the evaluation set's rows they are, int64 .npy
    # what is timed with the model, [measure] end_to_end: rows before preprocess, and the files of the functions
    end_to_end: tuple[DeployedFile, ...] = ()
    meters: tuple[DeployedMeter, ...] = ()  # that watch
    note: str | None = None  # why this target and not the one that was asked for

    @property
    def where(self) -> str:
        """The board for people: its name in the plan, and what it said of itself."""
        board = self.board
        known = [name for name in (board.model, board.cpu) if name != "unknown"]
        count = units.counted(board.cpu_count, "CPU")
        return f"{self.target} ({', '.join((*(('emulated',) if board.emulated else ()), *known, count, board.arch))})"

    @property
    def sent_bytes(self) -> int:
        """Everything that had to be sent; 0: it was all on the board already."""
        sent = sum(file.sent_bytes for file in (*self.files, *self.evaluation, *self.end_to_end)) + sum(
            runtime.sent_bytes for runtime in self.runtimes
        )
        return self.agent_sent_bytes + sent
