"""The agent: the part of edgepress that runs on the board and measures. The host judges.

Rules of this folder:
1. Python 3.8 syntax and library; nothing but the standard library, except in runtimes/* and meters/*.
2. stdout belongs to the wire; everything else that prints goes to stderr.
3. It sends integers: nanoseconds, bytes, microwatts. Statistics and verdicts are computed on the host.
4. No daemon, no open port, no pickle, no eval, no shell; code of the user's only where the host sends it (bench/end_to_end.py). It ends when its standard input ends, and so do its children.
5. Every model and every measurement runs in a fresh child process (bench/runner.py): native code can crash.
"""
