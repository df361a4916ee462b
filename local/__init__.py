"""Run the whole of Touchline on one machine: real servers, every process, a match day."""
