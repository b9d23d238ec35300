"""Chatrooms and messages over HTTP."""
