"""How replies are made, and how people follow them."""
