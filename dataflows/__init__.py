"""One file per dataflow; beside them the pure steps and the operators they share."""
