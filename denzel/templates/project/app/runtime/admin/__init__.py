"""Commands that change or ask a running deployment."""
