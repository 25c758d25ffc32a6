"""What every other folder may use: errors, options of configs, files (``io``), random numbers, processes, devices.

Nothing here imports PyTorch at the top, so that ``auricle VERB --help`` stays quick.
"""
