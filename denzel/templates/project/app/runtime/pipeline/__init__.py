"""The user's functions: import them, run them, turn what they return into JSON."""
