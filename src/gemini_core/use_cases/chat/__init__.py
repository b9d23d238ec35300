"""What people do with rooms and messages."""
