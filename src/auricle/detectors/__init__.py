"""From labelled recordings to a calibrated detector."""
