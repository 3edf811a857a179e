"""A recipe's whole way on this machine, with miniatures in place of what is not here, and without training."""
