"""What will not work in production, said with the line and the mend: one module for each kind of thing that is read."""
