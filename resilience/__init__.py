"""What keeps a failing neighbour from becoming our failure; each piece is usable alone."""
