"""Where repository files live: one protocol, a directory, S3, memory, and wrappers around any of them."""
