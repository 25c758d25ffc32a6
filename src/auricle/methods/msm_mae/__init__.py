"""MSM-MAE: a masked autoencoder of the spectrogram, on the networks of M2D.

``method`` is the entry of ``registry.METHODS``, ``config`` holds the settings, ``objective`` the losses.
"""
