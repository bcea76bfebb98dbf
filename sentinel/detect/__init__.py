"""Columns -> Alerts: Suricata rules and Sigma rules, one prefilter, one state."""
