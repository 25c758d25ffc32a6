"""The M2D family: sizes (config), the encoder, its published classifier (head) and the predictor of pre-training."""
