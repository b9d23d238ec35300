"""What is sold, what was bought, and what the gateway tells."""
