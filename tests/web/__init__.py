"""What browsers and generated programs make of the API: its description, its page."""
