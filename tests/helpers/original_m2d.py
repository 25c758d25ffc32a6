"""The command lines of M2D's read-me and guide, and a folder in which they run at toy size."""

from __future__ import annotations

import csv
import shlex
from pathlib import Path

import numpy as np

CONVERT = "python wav_to_lms.py /your/local/fsd50k/FSD50K.dev_audio data/fsd50k_lms"
README = (
    "python train_audio.py --dataset data/files_fssd50k.csv",
    "OMP_NUM_THREADS=1 torchrun --nproc_per_node=4 -m train_audio --input_size 80x608 --patch_size 16x16 --epochs 300 "
    "--batch_size 512 --accum_iter 1 --save_freq 50 --seed 3 --model m2d_vit_base --csv_main data/files_audioset.csv "
    "--data_path /path/to/your/data --loss_off 0.",
    "OMP_NUM_THREADS=1 torchrun --nproc_per_node=4 -m audioset.train_as --input_size 80x608 --patch_size 16x16 "
    "--epochs 300 --batch_size 512 --accum_iter 1 --save_freq 50 --seed 3 --data_path /path/to/your/data --loss_off 1.",
)
GUIDE = (
    "OMP_NUM_THREADS=1 torchrun --nproc_per_node=4 train_audio.py --input_size 80x608 --patch_size 16x16 --epochs 300 "
    "--batch_size 512 --accum_iter 1 --save_freq 50 --seed 3 --model m2d_vit_base --csv_main data/files_audioset.csv "
    "--data_path /path/to/your/data --loss_off 0.",
    "CUDA_VISIBLE_DEVICES=0 python train_audio.py --epochs 600 --resume "
    "m2d_vit_base-80x200p16x4-230529/checkpoint-300.pth --model m2d_x_vit_base --input_size 80x200 --patch_size 16x4 "
    "--batch_size 64 --accum_iter 2 --csv_main data/files_icbhi2017.csv --csv_bg_noise data/files_f_s_d_5_0_k.csv "
    "--noise_ratio 0.3 --save_freq 100 --eval_after 600 --seed 6 --teacher "
    "m2d_vit_base-80x200p16x4-230529/checkpoint-300.pth --blr 3e-4 --loss_off 1. --min_ds_size 10000",
    "CUDA_VISIBLE_DEVICES=0,1 torchrun --nproc_per_node=2 train_audio.py --epochs 600 --warmup_epochs 24 --resume "
    "m2d_vit_base-80x608p16x16-221006-mr7/checkpoint-300.pth --model m2d_x_vit_base --batch_size 32 --accum_iter 4 "
    "--csv_main __your__.csv --csv_bg_noise data/files_f_s_d_5_0_k.csv --noise_ratio 0.01 --save_freq 100 --eval_after "
    "600 --seed 3 --teacher m2d_vit_base-80x608p16x16-221006-mr7/checkpoint-300.pth --blr 3e-4 --loss_off 1.",
)
OTHERS = (  # programs and models that those two pages do not show; settings of [m2d 5.7](docs/specification/m2d.md#s5-7)
    "OMP_NUM_THREADS=1 torchrun --nproc_per_node=4 -m speech.train_speech --epochs 1000 --batch_size 128 --accum_iter 16 "
    "--save_freq 100 --seed 3 --input_size 80x208 --patch_size 80x4 --data_path data --loss_off 1.",
    "python mae_train_audio.py --dataset data/files_audioset.csv --input_size 80x208 --mask_ratio 0.75",
    "python train_audio.py --model m2d_d2v_vit_base --input_size 80x208",
)
EVALUATE = (
    "python evar/utils/download_cremad.py downloads/cremad",
    "python prepare_wav.py downloads/cremad work/16k/cremad 16000",
    "python lineareval.py config/m2d.yaml cremad weight_file=/your/path/to/model.pth",
    "python lineareval.py config/m2d.yaml cremad batch_size=16,weight_file=/your/path/to/model.pth",
)
FINETUNE = tuple(
    f"bash (your m2d)/util/ft-{task}.sh /your/path/to/m2d_vit_base-80x608p16x16-221006-mr7 3 42 300"
    for task in ("as2m", "as0k", "esc50", "spc", "vc1")
)
SUPERB = (
    "python run_downstream.py -m train -n m2d_calcnorm_1 -u m2d_calcnorm -d voxceleb1",
    "python run_downstream.py -m evaluate -e result/downstream/m2d_vc1_1/dev-best.ckpt",
    "./ks.sh 0 m2d /your/m2d_s_vit_base-80x608p80x2-230220/checkpoint-1000.pth 7",
)
SIZES = "--epochs 1 --warmup_epochs 0 --batch_size 2 --accum_iter 1 --num_workers 0"
NETWORK = (
    "-- --embed-dim 64 --depth 1 --decoder-embed-dim 32 --decoder-depth 1 --decoder-num-heads 2 --precision float32"
)


def words(line: str, extra: str = "") -> list[str]:
    """The line for ``auricle original m2d``, with the read-me's example places moved into the working directory.

    Published weights are replaced by files of toy size, whose folders must not have the published names: a file that
    is not what its published name says is refused. ``extra`` is appended, so that its options win.
    """
    line = line.replace("/your/local/", "local/").replace("/path/to/your/data", "data")
    line = line.replace("-230529/", "-toy/").replace("-221006-mr7/", "-toy/")
    return shlex.split(f"{line} {extra}")


def toy(line: str, extra: str = "") -> list[str]:
    """The same at toy size; the four clips of a list stay four where the program would repeat them up to 10000."""
    short = "" if any(program in line for program in ("train_speech", "mae_train")) else "--min_ds_size 0"
    return words(line, f"{SIZES} {short} {extra} {NETWORK}")


def unlaunched(words: list[str]) -> list[str]:
    """Without torchrun in front: one process."""
    cut = next((i for i, word in enumerate(words) if "torchrun" in word), None)
    if cut is None:
        return words
    rest = words[cut + 1 :]
    return [*words[:cut], *rest[1:]] if rest[0].startswith("--nproc") else rest


def spectrograms(folder: Path, names: list[str], frames: int = 640) -> None:
    """Log-mel files as the original's converter writes them, with nothing beside them that says how."""
    source = np.random.Generator(np.random.Philox(key=3))
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / name, source.normal(-7, 4, (1, 80, frames)).astype(np.float32))


def write_list(path: Path, names: list[str], *columns: list[str]) -> None:
    """A list as the original reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = ["file_name", "label", "weight"][: 1 + len(columns)]
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *zip(names, *columns)])


def place(folder: Path) -> Path:
    """The working directory of the lines: data folder, its lists, and two checkpoints of toy size."""
    data = folder / "data"
    audioset = [f"audioset_lms/balanced_train_segments/clip{i}_{i}000.npy" for i in range(4)]
    icbhi, noise = ([f"{name}_lms/{i}.npy" for i in range(4)] for name in ("icbhi2017", "fsd50k"))
    for names in (audioset, icbhi, noise):
        spectrograms(data, names)
    write_list(data / "files_audioset.csv", audioset)
    write_list(data / "files_icbhi2017.csv", icbhi)
    write_list(data / "files_f_s_d_5_0_k.csv", noise)
    labels = ["/m/09x0r", "/m/09x0r,/m/05zppz", "/m/05zppz", "/m/0bt9lr"]
    write_list(data / "files_as_weighted.csv", audioset, labels, ["0.5", "0.75", "0.6", "1.0"])
    write_list(folder / "__your__.csv", icbhi)
    speech_pairs(data)
    for sizes in (("80x200", "16x4"), ("80x608", "16x16")):
        checkpoint(folder / f"m2d_vit_base-{'p'.join(sizes)}-toy" / "checkpoint-300.pth", *sizes)
    return folder


def speech_pairs(data: Path, count: int = 4) -> None:
    """Log-mel and features as the original stores them, and their list."""
    source = np.random.Generator(np.random.Philox(key=4))
    names = [f"ls960_hybrid7s_hubaseL9/{i}.npz" for i in range(count)]
    (data / names[0]).parent.mkdir(parents=True)
    for name in names:
        log_mel = source.normal(-7, 4, (1, 80, 700)).astype(np.float32)
        features = source.normal(0, 1, (1, 349, 24)).astype(np.float32)
        np.savez(data / name, log_mel, features, np.asarray(349))
    write_list(data / "files_ls960_hybrid.csv", names)


def checkpoint(path: Path, input_size: str, patch_size: str) -> None:
    """A published training checkpoint of the toy network."""
    from auricle.hub.convert.m2d import to_published
    from auricle.hub.pickles import write_pickle
    from auricle.methods.m2d.config import M2DConfig
    from auricle.methods.m2d.objective import M2D
    from auricle.models.m2d.config import PredictorConfig, ViTConfig

    model = ViTConfig(input_size=input_size, patch_size=patch_size, embed_dim=64, depth=1)
    objective = M2D(model, PredictorConfig(decoder_embed_dim=32, decoder_depth=1, decoder_num_heads=2), M2DConfig())
    path.parent.mkdir(parents=True)
    write_pickle({"model": to_published(objective.state_dict()), "epoch": 300}, path)
