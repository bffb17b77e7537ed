"""The host itself, behind `local` and `virtual`: it runs the whole way, and says nothing about a board."""

from targets.boards import AGENT, CLOCKS, WHEELS, Board, Fact

ASKED = Fact("asked of the machine itself", "device_agent/board/machine.py")
BOARD = Board(
    title="this machine, not a board",
    identity=Fact("reached without a network, or by an sshd on the loopback", "targets/local.py, targets/virtual"),
    soc=ASKED,
    cores=ASKED,
    memory=ASKED,
    runtimes=Fact("those whose wheels fit its Python, glibc and CPU", WHEELS),
    temperature=Fact("the thermal zones that the kernel shows, if any", AGENT),
    throttling=Fact("no flag: clock and temperature tell", AGENT),
    clocks=CLOCKS,
    power=Fact(
        "the processor packages by RAPL, where its counters may be read (for root only on most systems, absent in virtual machines)",
        "device_agent/meters/rapl.py",
    ),
    tried_on_hardware=True,
)
