"""What a deployment stands up to: deaths of its processes, abuse, and hours of load."""
