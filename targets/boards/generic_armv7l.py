from targets.boards import AGENT, CLOCKS, UNSEEN, WHEELS, Board, Fact

BOARD = Board(
    title="any 32-bit Arm board",
    architecture="armv7l",
    identity=Fact("uname -m is armv7l, if no known kind fits its model", "device_agent/board/machine.py"),
    soc=Fact("read on the board itself", "device_agent/board/machine.py"),
    cores=Fact("read on the board itself", "device_agent/board/machine.py"),
    memory=Fact("read on the board itself", "device_agent/board/machine.py"),
    runtimes=Fact("only tflite_runtime, with the system's python3-numpy", WHEELS),
    temperature=Fact("the thermal zones that the kernel shows, if any", AGENT),
    throttling=Fact("no flag: clock and temperature show it", AGENT),
    clocks=CLOCKS,
    power=Fact("an external meter", UNSEEN),
)
