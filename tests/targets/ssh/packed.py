"""Parts of keys as SSH writes them."""

import struct

SK = b"sk-ssh-ed25519@openssh.com"


def text(data):
    return struct.pack(">I", len(data)) + data
