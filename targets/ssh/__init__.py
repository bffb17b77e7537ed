"""Boards over SSH. The only package that imports paramiko.

One connection a board. Its host key must be pinned, one named way to log in is tried once, and a board that no longer
answers is given up in every state: each wait until the login has an end of its own, afterwards the watchdog asks.
Nothing is forwarded, no agent and no X11, and nothing is compressed: paramiko does these only where it is told to.
"""

from targets.ssh.link import SshLink, host_key

__all__ = ["SshLink", "host_key"]
