"""REST for apps and operators: what the log says about matches and events."""
