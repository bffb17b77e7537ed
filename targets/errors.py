"""What can go wrong between this host and a board, each with what to do next. All are EdgepressErrors.

TargetError                4
UnknownTarget            2  the plan names a board that is in no inventory
RuntimeUnavailable       2  the plan names a runtime that this board cannot have
MeterUnavailable         2  the plan or boards.toml names a power meter that cannot be read
Unreachable              4  nothing listens there, no such host, no route
DroppedByServer          4  sshd closed the connection before SSH began: too many logins at once
HostKeyUnknown           4
HostKeyChanged           4
AuthenticationRefused    4
NoPython                 4
DiskFull                 4  of bytes or of inodes, or a quota is used up
RootUnusable             4  `root` is on a noexec or read-only filesystem, or others could change what runs from it
DamagedOnBoard           4  a file that a job needed was damaged or missing on the board; a damaged one has been removed there
Busy                     4  another edgepress is measuring there
ConnectionLost           4  cut off, or silent for too long: worth another try
NoAnswer                 4  the board is connected, but did not answer a request within its limit
NotTheAgent              4  the answer does not follow the protocol
Implausible              4  an impossible answer: a value out of range, or one that contradicts another
JobEnded                 4  LOST, KILLED, TIMEOUT, CANCELLED or FAILED: a job without results
AgentFailed              4  the agent answered with a failure
UploadDamaged            4  what arrived is not what was announced, and was discarded there
WheelsUnavailable        4  the host could not get a runtime's wheels
VirtualUnavailable       4  this machine cannot run the virtual board
EmulatorUnavailable      4  this machine cannot build or run the emulated board
EmulatorNotRunning       4  the emulated board has not been started
FolderUnusable           5  this machine has no folder for what edgepress keeps
"""

from device_agent.wire import EdgepressError


class TargetError(EdgepressError):
    exit_code = 4


class UnknownTarget(TargetError):
    exit_code = 2


class RuntimeUnavailable(TargetError):
    exit_code = 2


class MeterUnavailable(TargetError):
    exit_code = 2


class Unreachable(TargetError):
    pass


class DroppedByServer(Unreachable):
    pass


class HostKeyUnknown(TargetError):
    pass


class HostKeyChanged(TargetError):
    pass


class AuthenticationRefused(TargetError):
    pass


class NoPython(TargetError):
    pass


class DiskFull(TargetError):
    pass


class RootUnusable(TargetError):
    pass


class DamagedOnBoard(TargetError):
    pass


class Busy(TargetError):
    pass


class ConnectionLost(TargetError):
    pass


class NoAnswer(TargetError):
    pass


class NotTheAgent(TargetError):
    pass


class Implausible(NotTheAgent):
    pass


class JobEnded(TargetError):
    """`state` is one of wire.STATES."""

    def __init__(self, message: str, *, hint: str, state: str = "FAILED") -> None:
        super().__init__(message, hint=hint)
        self.state = state


class AgentFailed(TargetError):
    pass


class UploadDamaged(AgentFailed):
    pass


class WheelsUnavailable(TargetError):
    pass


class VirtualUnavailable(TargetError):
    pass


class EmulatorUnavailable(TargetError):
    pass


class EmulatorNotRunning(TargetError):
    pass


class FolderUnusable(TargetError):
    exit_code = 5
