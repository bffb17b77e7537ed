"""HOST: reaches boards. `open_session` is the entry point; the rest of edgepress never sees how a board is reached."""

import contextlib
from collections.abc import Callable, Iterator

from targets.errors import AgentFailed, AuthenticationRefused, ConnectionLost, NoPython, Unreachable, VirtualUnavailable
from targets.inventory import Target
from targets.local import LocalLink
from targets.session import Session

__all__ = ["Session", "open_session"]


@contextlib.contextmanager
def open_session(target: Target, say: Callable[[str], None] | None = None) -> Iterator[Session]:
    """Reach the target and start the agent there; everything that was started is ended afterwards.

    `say` is called when the link breaks and comes back, and with what is being waited for.
    """
    with contextlib.ExitStack() as stack:
        if target.kind == "local":
            yield stack.enter_context(Session(lambda _: LocalLink(), target.python, target.root, say, target.name))
            return
        if target.kind == "virtual":
            yield _virtual(stack, target, say)
            return
        yield _over_ssh(stack, target, say)


def _over_ssh(stack: contextlib.ExitStack, target: Target, say: Callable[[str], None] | None) -> Session:
    from targets.ssh import SshLink  # paramiko takes 0.1 s to import

    def connect(limit_s: float) -> SshLink:
        return SshLink(_located(target), connect_timeout_s=limit_s)

    return stack.enter_context(Session(connect, target.python, target.root, say, target.name))


def _located(target: Target) -> Target:
    """Return the target with its address. Called for each connection: an emulated machine changes its port when restarted."""
    if target.kind != "emulated":
        return target
    from targets.virtual.emulated.machine import located

    return located(target)


def _virtual(stack: contextlib.ExitStack, target: Target, say: Callable[[str], None] | None) -> Session:
    """Start a virtual board. VirtualUnavailable also if sshd runs but refuses this user: a locked account, an invalid shell."""
    from targets.virtual.loopback import loopback_sshd

    started = stack.enter_context(loopback_sshd(target))
    try:
        session = _over_ssh(stack, started, say)
    except (AuthenticationRefused, AgentFailed, ConnectionLost, NoPython, Unreachable) as error:
        raise VirtualUnavailable(
            f"sshd runs on this machine, but {started.user} cannot use it: {error.message}",
            hint=error.hint,
        ) from error
    session.note = started.note
    return session
