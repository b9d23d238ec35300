"""Chat in the process: one module per port, on tables that they share."""
