"""The real servers of the local stack, each described as a child process."""
