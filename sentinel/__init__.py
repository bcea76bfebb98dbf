"""Sentinel: a security operations sidecar for the hosts of an e-commerce platform."""

__version__ = "0.1.0"

# What `sentinel run` becomes; see sentinel.__main__.
DAEMON = "--daemon"  # FILE LEVEL WORKER COMPONENT
SUPERVISOR = "--supervisor"  # FILE LEVEL METRICS COMPONENT...
