"""Table of the dotted names of MAE-AST's command lines and YAML file ([mae_ast 2](docs/specification/mae_ast.md#s2))."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Name:
    """One setting of the original.

    Attributes:
        kind: bool, int, float, str, or tuple for several floats.
        default: the original's default, for a YAML file without the name.
        ours: the setting of ``auricle pretrain`` that it maps to; "" if there is no single one (see ``note``).
        note: a remark for the documentation.
        none: the value that null maps to.
    """

    kind: type
    default: Any
    ours: str = ""
    note: str = ""
    none: Any = 0


NAMES: dict[str, Name] = {
    # model
    "model.ast_kernel_size_chan": Name(int, 16, note="--patch-size, first number"),
    "model.ast_kernel_size_time": Name(int, 16, note="--patch-size, second number"),
    "model.ast_kernel_stride_chan": Name(int, 16, note="must equal the size"),
    "model.ast_kernel_stride_time": Name(int, 16, note="must equal the size"),
    "model.encoder_layers": Name(int, 12, "depth"),
    "model.encoder_embed_dim": Name(int, 768, "embed_dim"),
    "model.encoder_ffn_embed_dim": Name(int, 3072, "ffn_dim"),
    "model.encoder_attention_heads": Name(int, 12, "num_heads"),
    "model.layer_norm_first": Name(bool, False, "layer_norm_first"),
    "model.use_post_enc_proj": Name(bool, False, "use_post_enc_proj"),
    "model.decoder_embed_dim": Name(int, 768, "decoder_embed_dim"),
    "model.decoder_layers": Name(int, 2, "decoder_depth"),
    "model.decoder_layerdrop": Name(float, 0.0, "decoder_layerdrop"),
    "model.encoder_layerdrop": Name(float, 0.0, "encoder_layerdrop"),
    "model.dropout": Name(float, 0.1, "dropout"),
    "model.attention_dropout": Name(float, 0.1, "attention_dropout"),
    "model.activation_dropout": Name(float, 0.0, "activation_dropout"),
    "model.dropout_input": Name(float, 0.0, "dropout_input"),
    "model.random_mask_prob": Name(float, 0.75, "random_mask_prob"),
    "model.mask_length": Name(int, 10, "mask_length"),
    "model.mask_selection": Name(str, "static", "mask_selection"),
    "model.mask_other": Name(float, 0.0, "mask_other"),
    "model.no_mask_overlap": Name(bool, False, "separate_spans"),
    "model.mask_min_space": Name(int, 0, "mask_min_space"),
    "model.checkpoint_activations": Name(bool, False, "checkpoint_activations"),
    "model.max_token_length": Name(int, 48000, "max_token_length"),
    "model.enc_sine_pos": Name(bool, False, "enc_sine_pos"),
    "model.dec_sine_pos": Name(bool, False, "dec_sine_pos"),
    # task
    "task.data": Name(str, None, note="the folder whose train.tsv is the source, valid.tsv --valid, test.tsv --test"),
    "task.max_keep_size": Name(int, None, "max_keep_size"),
    "task.max_sample_size": Name(int, None, "max_sample_size"),
    "task.min_sample_size": Name(int, None, "min_sample_size"),
    "task.random_crop": Name(bool, True, "random_crop"),
    "task.pad_audio": Name(bool, False, "pad_audio", "works here; the original fails with it"),
    "task.feature_dim": Name(int, 100, "n_mels"),
    "task.mask_type": Name(str, "random_mask", "mask_type"),
    # criterion
    "criterion.classification_weight": Name(float, 1.0, "classification_weight"),
    "criterion.reconstruction_weight": Name(float, 10.0, "reconstruction_weight"),
    # dataset
    "dataset.num_workers": Name(int, 1, "workers", "changes nothing in the numbers"),
    "dataset.max_tokens": Name(int, None, "max_tokens"),
    "dataset.batch_size": Name(int, None, "batch_size", "maximum number of clips of a batch", none=1_000_000),
    "dataset.required_batch_size_multiple": Name(int, 8, "batch_multiple"),
    "dataset.train_subset": Name(str, "train", note="name of the training list"),
    "dataset.valid_subset": Name(str, "valid", note="name of the list for --valid"),
    "dataset.gen_subset": Name(str, "test", note="name of the list for --test"),
    "dataset.disable_validation": Name(bool, False, note="no --valid"),
    "dataset.validate_interval": Name(int, 1, "validate_interval"),
    "dataset.validate_interval_updates": Name(int, 0, "validate_interval_updates"),
    # optimization, optimizer, lr_scheduler
    "optimization.max_update": Name(int, 0, note="--max-updates; with 0 max_epoch applies"),
    "optimization.max_epoch": Name(int, 0, note="--epochs, if max_update is not set"),
    "optimization.lr": Name(tuple, (0.25,), note="--lr; one number"),
    "optimization.clip_norm": Name(float, 0.0, "clip_grad"),
    "optimization.update_freq": Name(tuple, (1,), note="--accum-iter; one number"),
    "optimizer.adam_betas": Name(tuple, (0.9, 0.999), "betas"),
    "optimizer.adam_eps": Name(float, 1e-8, "eps"),
    "optimizer.weight_decay": Name(float, 0.0, "weight_decay", "decoupled, on every parameter that has a gradient"),
    "lr_scheduler.warmup_updates": Name(int, 0, "warmup_updates"),
    "lr_scheduler.power": Name(float, 1.0, "power"),
    "lr_scheduler.end_learning_rate": Name(float, 0.0, "min_lr"),
    "lr_scheduler.total_num_update": Name(int, None, "schedule_updates", "null: max_update"),
    # common, checkpoint, distributed_training, hydra
    "common.seed": Name(int, 1, "seed"),
    "common.log_interval": Name(int, 100, "log_interval"),
    "common.tensorboard_logdir": Name(str, None, note="--tensorboard; the files are in the run folder"),
    "common.wandb_project": Name(str, None, "wandb", none=None),
    "common.cpu": Name(bool, False, note="--device cpu"),
    "common.fp16": Name(bool, False, note="--precision fp16 on a GPU; a CPU uses float32, as in the original"),
    "common.memory_efficient_fp16": Name(bool, False, note="as common.fp16; weights and optimiser stay float32"),
    "common.amp": Name(bool, False, note="as common.fp16"),
    "common.bf16": Name(bool, False, note="--precision bf16"),
    "common.memory_efficient_bf16": Name(bool, False, note="as common.bf16"),
    "checkpoint.save_interval_updates": Name(int, 0, "save_interval_updates", "encoder-update<k>.safetensors"),
    "checkpoint.keep_interval_updates": Name(int, -1, "keep_interval_updates", "-1: all"),
    "checkpoint.finetune_from_model": Name(str, None, "resume", "weights only", none=None),
    "checkpoint.restore_file": Name(
        str, "checkpoint_last.pt", note="the default continues the run of hydra.run.dir; else --resume"
    ),
    "distributed_training.distributed_world_size": Name(int, 1, note="above 1: that many processes under torchrun"),
    "distributed_training.nprocs_per_node": Name(int, None, note="must be distributed_world_size", none=None),
    "hydra.run.dir": Name(str, None, "out", "the run folder; none: named by the time", none=None),
}

FIXED: dict[str, tuple[Any, tuple[Any, ...]]] = {  # the original's default, and the supported values
    "model._name": ("mae_ast", ("mae_ast",)),
    "model.activation_fn": ("gelu", ("gelu",)),
    "model.enc_conv_pos": (False, (False,)),
    "model.dec_conv_pos": (False, (False,)),
    "task._name": ("mae_ast_pretraining", ("mae_ast_pretraining",)),
    "task.sample_rate": (16000, (16000,)),
    "task.feature_type": ("wav", ("fbank",)),
    "task.deltas": (True, (False,)),
    "criterion._name": ("mae_ast", ("mae_ast",)),
    "optimizer._name": ("adam", ("adam",)),
    "lr_scheduler._name": ("polynomial_decay", ("polynomial_decay",)),
}

WITHOUT_MEANING: dict[str, dict[str, tuple[str, ...]]] = {  # group -> reason -> names
    "model": {
        "has no effect on any parameter, or is unused": ("feature_grad_mult", "conv_pos", "conv_pos_groups"),
    },
    "task": {
        "concerns raw-wave features only, or is unused": (
            "normalize",
            "enable_padding",
            "mask_spans",
            "feature_rate",
        ),
    },
    "criterion": {"the log always holds every part of the loss": ("log_keys",)},
    "dataset": {
        "validation uses the batch settings of training": (
            "max_tokens_valid", "batch_size_valid", "fixed_validation_seed", "validate_after_updates",
            "skip_invalid_size_inputs_valid_test", "max_valid_steps", "ignore_unused_valid_subsets",
            "combine_valid_subsets",
        ),
        "the loader of Auricle does not need this setting": (
            "data_buffer_size", "required_seq_len_multiple", "dataset_impl", "curriculum", "num_shards", "shard_id",
            "grouped_shuffling", "update_epoch_batch_itr", "update_ordered_indices_seed", "combine_subset",
        ),
    },
    "optimization": {
        "the training loop of Auricle does not need this setting": (
            "sentence_avg", "stop_time_hours", "stop_min_lr", "use_bmuf", "skip_remainder_batch", "debug_param_names",
        ),
    },
    "optimizer": {"is set elsewhere, or concerns other hardware": ("lr", "use_old_adam", "fp16_adam_stats", "tpu")},
    "lr_scheduler": {"is set elsewhere, or concerns epochs": ("lr", "force_anneal")},
    "common": {
        "the run folder determines what is logged, and where": (
            "no_progress_bar", "log_format", "log_file", "aim_repo", "aim_run_hash", "azureml_logging", "reset_logging",
            "profile",
        ),
        "the model is built in, no code is loaded": ("user_dir", "plasma_path", "use_plasma_view"),
        "loss scaling is automatic": (
            "fp16_init_scale", "fp16_scale_window", "fp16_scale_tolerance", "fp16_no_flatten_grads", "min_loss_scale",
            "threshold_loss_scale", "amp_batch_retries", "amp_init_scale", "amp_scale_window", "on_cpu_convert_precision",
        ),
        "concerns machines or tools of the original": (
            "tpu", "empty_cache_freq", "all_gather_list_size", "model_parallel_size", "quantization_config_path",
            "suppress_crashes",
        ),
    },
    "checkpoint": {
        "checkpoints are complete and saved periodically, on Ctrl-C and at the end": (
            "save_dir", "save_interval", "keep_interval_updates_pattern", "keep_last_epochs", "keep_best_checkpoints",
            "no_save", "no_epoch_checkpoints", "no_last_checkpoints", "no_save_optimizer_state", "continue_once",
            "best_checkpoint_metric", "maximize_best_checkpoint_metric", "patience", "checkpoint_suffix",
            "checkpoint_shard_count", "load_checkpoint_on_all_dp_ranks", "write_checkpoints_asynchronously",
            "model_parallel_size",
        ),
        "--resume loads weights, --continue everything": (
            "reset_dataloader", "reset_lr_scheduler", "reset_meters", "reset_optimizer", "optimizer_overrides",
        ),
    },
    "distributed_training": {
        "torchrun sets up the processes": (
            "distributed_num_procs", "distributed_rank", "distributed_backend", "distributed_init_method",
            "distributed_port", "device_id", "distributed_no_spawn", "ddp_backend", "ddp_comm_hook", "bucket_cap_mb",
            "fix_batches_to_gpus", "find_unused_parameters", "gradient_as_bucket_view", "fast_stat_sync",
            "heartbeat_timeout", "broadcast_buffers", "slowmo_momentum", "slowmo_base_algorithm", "localsgd_frequency",
            "pipeline_model_parallel", "zero_sharding", "fp16", "memory_efficient_fp16", "tpu", "no_reshard_after_forward",
            "fp32_reduce_scatter", "cpu_offload", "use_sharded_state", "not_fsdp_flatten_parameters",
        ),
    },
}  # fmt: skip
OTHER_GROUPS = (  # of fairseq and Hydra, for other tasks than this one
    "hydra", "bmuf", "ema", "common_eval", "eval_lm", "generation", "interactive", "scoring", "bpe", "tokenizer",
    "simul_type", "job_logging_cfg", "defaults",
)  # fmt: skip

# config/pretrain/mae_ast.yaml ([mae_ast 2.1](docs/specification/mae_ast.md#s2-1) to [2.3](docs/specification/mae_ast.md#s2-3))
PUBLISHED: dict[str, Any] = {
    "common.fp16": True,
    "common.log_interval": 200,
    "common.seed": 1337,
    "checkpoint.save_interval_updates": 25000,
    "checkpoint.keep_interval_updates": 1,
    "distributed_training.distributed_world_size": 32,
    "distributed_training.nprocs_per_node": 8,
    "task.max_sample_size": 250000,
    "task.min_sample_size": 32000,
    "task.feature_type": "fbank",
    "task.feature_dim": 128,
    "task.deltas": False,
    "dataset.num_workers": 6,
    "dataset.max_tokens": 1400000,
    "dataset.validate_interval": 5,
    "dataset.validate_interval_updates": 10000,
    "optimization.max_update": 400000,
    "optimization.lr": [0.0001],
    "optimization.clip_norm": 10.0,
    "optimizer.adam_betas": [0.9, 0.98],
    "optimizer.adam_eps": 1e-06,
    "optimizer.weight_decay": 0.01,
    "lr_scheduler.warmup_updates": 32000,
    "model.encoder_layerdrop": 0.05,
    "model.dropout_input": 0.1,
    "model.enc_sine_pos": True,
    "model.dec_sine_pos": True,
}
