"""How a release is: its roll-out followed, its failure explained, its logs read."""
