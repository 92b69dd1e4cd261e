"""Services as processes of this machine, supervised by ``supervisor``."""
