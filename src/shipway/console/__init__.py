"""The web page of a server: a form made from each model's signature, and what a person would want to see beside it."""
