"""Web apps as folders: what is in them, how they are reached, what they need, and what will not work in production."""
