"""Learning methods: ``registry.METHODS`` names them all, and each has a folder with everything that belongs to it.

``base`` holds the Objective contract, ``config`` the settings that all methods share, ``data`` their batches.
To add a method, add a folder and one line of ``METHODS``.
"""
