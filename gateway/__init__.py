"""Socket.IO for fans: reads the live streams, and the log where they fall short."""
