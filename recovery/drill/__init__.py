"""The drill: restore what a disaster would leave into an empty stack beside the live one, and measure it."""
