"""The reasons for a plan, and what to mind, in words."""

from __future__ import annotations

from auricle.jobs import advice_rules as rules
from auricle.jobs.advice import ASSUMED_SECONDS, UNKNOWN_MEMORY, AdviseConfig, Facts, Machine, Plan


def why(plan: Plan, config: AdviseConfig, facts: Facts, fine: bool) -> list[str]:
    """The reasons for the settings, one sentence each."""
    reasons = {
        "m2d-x": "method M2D-X: the start weight is its own offline teacher too, as in the published further pre-training",
        "m2d-s": "method M2D-S: speech, with HuBERT features as second target and noise in the input",
        "m2d-as": "method M2D-AS: the clips are labelled",
        "m2d": "method M2D: no labels are needed",
    }
    words = [reasons[plan.method]]
    if fine and facts.kind != "speech":
        padding = f"much of 6.08 s would be padding with clips of {facts.clip_seconds:.1f} s"
        short = "asked for" if config.fine_time else padding
        words.append(f"input {plan.input_size}, patch {plan.patch_size}: 2 s and frames of 40 ms ({short})")
    words.append(
        f"batch, epochs and warm-up of {plan.like}, the nearest published run: they belong together with the size of the "
        "data and the teacher's decay, so keep them together"
    )
    words.append(
        f"effective batch {plan.effective_batch} = {plan.batch_size} clips x {plan.accum_iter} micro-steps x {plan.gpus} GPU"
    )
    if plan.noise_ratio:
        words.append(f"noise ratio {plan.noise_ratio:g}: {noise_words(plan, config)}")
    if plan.min_ds_size:
        words.append(f"min-ds-size {plan.min_ds_size}: the list is repeated so that an epoch is long enough")
    return words


def noise_words(plan: Plan, config: AdviseConfig) -> str:
    if plan.method == "m2d-s":
        return "published for speech (denoising distillation)"
    if config.noisy == "unsure":
        return f"that of {plan.like}; 0.3 helped on noisy recordings, 0.01 on cleaner ones, and 0 was worse on both"
    return (
        "helped most on noisy recordings (ICBHI)" if config.noisy == "yes" else "helped most on cleaner ones (SPRSound)"
    )


SMALL = "and 'auricle pretrain msm-mae … --preset small' makes a small encoder in minutes (docs/small-scale.md)"


def cautions(plan: Plan, facts: Facts, machine: Machine) -> list[str]:
    """What a person should know before starting."""
    notes = []
    if facts.assumed:
        notes.append(
            f"the length of your clips is not known: {ASSUMED_SECONDS:g} s are assumed; say --clips or --clip-seconds"
        )
    if machine.gpus == 0:
        notes.append("no GPU was named: the figures are for one; --measure yes measures this machine's processor")
    if not machine.known:
        notes.append(f"the GPU's memory is not known: {UNKNOWN_MEMORY:g} GiB are assumed; say --gpu-memory")
    if plan.method == "m2d-s":
        notes.append("the speech features need the [hf] extra: pip install 'auricle[hf]'")
    if facts.clips and plan.method != "m2d-x" and facts.clips < rules.MANY_CLIPS and facts.hours < rules.MANY_HOURS:
        notes.append(
            "so few data have not been shown to pay from scratch at this size; --strategy further starts from published weights, "
            + SMALL
        )
    if plan.gpus > 8:
        notes.append("the published runs used up to 4 GPUs")
    return notes
