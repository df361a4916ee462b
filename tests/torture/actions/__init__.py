"""What a run does to the platform: each action begins a fault and heals it before it returns."""
