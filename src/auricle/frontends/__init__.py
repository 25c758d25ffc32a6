"""Front ends: waveform to log-mel spectrogram.

``base`` holds the contract and ``front_end(id)``; ``log_mel`` (M2D), ``fbank`` (MAE-AST) and ``efficientat_mel`` implement
it; ``streaming`` computes any of them from consecutive blocks; ``spec_augment`` augments EfficientAT's in training.
"""
