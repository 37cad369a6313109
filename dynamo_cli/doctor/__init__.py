"""`dynamo doctor`: what of this machine helps or hinders a deployment, and what to do about it."""
