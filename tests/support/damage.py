"""Damage to files."""


def flip(path, at=None, bit=0):
    """One bit of a file, as a disk or somebody may change it."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at % len(data)] ^= 1 << bit
    with path.open("r+b") as file:
        file.write(data)
