"""How pro is bought, kept true to what the gateway says, and looked after."""
