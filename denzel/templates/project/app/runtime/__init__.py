"""denzel's own part of the deployment; nothing here needs to be edited."""
