"""Published recipes as settings, by the program that they come from.

They hold what the programs set, including habits that a recipe of one's own would not have (weight decay of biases, the last epoch
as the result). Data sets are not part of a recipe: any labelled recordings can be learnt with one. PyTorch is not imported here.
"""

from __future__ import annotations

from auricle.methods.config import Preset
from auricle.methods.supervised.recipes import efficientat, evar, m2d, respiratory, ssast

RECIPES: dict[str, Preset] = {
    **efficientat.RECIPES,
    **m2d.RECIPES,
    **respiratory.RECIPES,
    **evar.RECIPES,
    **ssast.RECIPES,
}
