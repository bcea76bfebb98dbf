"""Sentinel: a security operations sidecar for the hosts of an e-commerce platform."""

__version__ = "0.1.0"

DAEMON = "--daemon"  # what `sentinel run` becomes: FILE LEVEL WORKER [COMPONENT...]; see sentinel.__main__
