"""Bytes in, no parsing: live rings, pcap files, followed logs -> Batch."""
