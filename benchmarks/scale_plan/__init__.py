"""A discrete-event simulation (SimPy) of pre-training and of tagging on many machines, from costs measured on one."""
