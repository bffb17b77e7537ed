from targets.boards import AGENT, CLOCKS, UNSEEN, WHEELS, Board, Fact

BOARD = Board(
    title="any 64-bit Arm board",
    architecture="aarch64",
    identity=Fact("uname -m is aarch64, if no known kind fits its model", "device_agent/board/machine.py"),
    soc=Fact("read on the board itself", "device_agent/board/machine.py"),
    cores=Fact("read on the board itself", "device_agent/board/machine.py"),
    memory=Fact("read on the board itself", "device_agent/board/machine.py"),
    runtimes=Fact("tflite_runtime, ai_edge_litert and onnxruntime, as its Python and glibc allow", WHEELS),
    temperature=Fact("the thermal zones that the kernel shows, if any", AGENT),
    throttling=Fact("no flag: clock and temperature show it", AGENT),
    clocks=CLOCKS,
    power=Fact("an external meter", UNSEEN),
)
