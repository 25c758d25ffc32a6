"""MAE-AST: sizes (config), and the network as an encoder (encoder)."""
