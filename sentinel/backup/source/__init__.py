"""What is backed up: paths and databases, dumped as streams, loaded back, probed."""
