"""Send a vendor's recorded match through everything, and say what came out."""
