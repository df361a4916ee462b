"""Look at the recovery stores of an installation, put copies of them back, and rewind them."""
