"""The host itself, as `local` and `virtual`: it runs the whole pipeline, but its timings say nothing about a board."""

from targets.boards import AGENT, CLOCKS, WHEELS, Board, Fact

READ = Fact("read on the machine itself", "device_agent/board/machine.py")
BOARD = Board(
    title="this machine, not a board",
    identity=Fact("reached without a network, or through an sshd on the loopback", "targets/local.py, targets/virtual"),
    soc=READ,
    cores=READ,
    memory=READ,
    runtimes=Fact("those whose wheels fit its Python, glibc and CPU", WHEELS),
    temperature=Fact("the thermal zones that the kernel shows, if any", AGENT),
    throttling=Fact("no flag: clock and temperature show it", AGENT),
    clocks=CLOCKS,
    power=Fact(
        "the processor packages by RAPL, if its counters are readable (only by root on most systems, absent in virtual machines)",
        "device_agent/meters/rapl.py",
    ),
    tried_on_hardware=True,
)
