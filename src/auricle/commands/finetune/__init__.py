"""``auricle finetune`` and ``auricle distill``: heads on the frozen encoder, the whole network, and the choice between them."""
