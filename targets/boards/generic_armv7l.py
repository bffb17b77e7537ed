from targets.boards import AGENT, CLOCKS, UNSEEN, WHEELS, Board, Fact

BOARD = Board(
    title="any 32-bit Arm board",
    architecture="armv7l",
    identity=Fact("uname -m is armv7l, where no model of a known kind fits", "device_agent/board/machine.py"),
    soc=Fact("asked of the board itself", "device_agent/board/machine.py"),
    cores=Fact("asked of the board itself", "device_agent/board/machine.py"),
    memory=Fact("asked of the board itself", "device_agent/board/machine.py"),
    runtimes=Fact("tflite_runtime only, with the system's python3-numpy", WHEELS),
    temperature=Fact("the thermal zones that the kernel shows, if any", AGENT),
    throttling=Fact("no flag: clock and temperature tell", AGENT),
    clocks=CLOCKS,
    power=Fact("an external meter", UNSEEN),
)
