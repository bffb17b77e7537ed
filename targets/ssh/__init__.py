"""Boards over SSH. The only package that imports paramiko.

One connection per board. Its host key must be pinned, one named way to log in is tried once, and a board that no longer
answers is given up in every state: each wait until the login has its own limit, later the watchdog checks.
Nothing is forwarded, neither agent nor X11, and nothing is compressed: paramiko does these only on request.
"""

from targets.ssh.link import SshLink, host_key

__all__ = ["SshLink", "host_key"]
