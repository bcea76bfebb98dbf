"""Batch -> Columns, without I/O. Parsers never raise on traffic or log lines: bad input is data."""
