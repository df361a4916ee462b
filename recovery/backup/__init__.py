"""Copies of all recovery stores at one cut, in a folder or S3: make, list, verify, prune, repeat."""
