"""Putting Sentinel on a host and looking after it: setup, first configuration, doctor, dashboards."""
