"""BibTeX entries of the papers of the published weights."""

from __future__ import annotations

BIBTEX = {
    "schmid2023efficient": """@inproceedings{schmid2023efficient,
  title     = {{Efficient Large-Scale Audio Tagging via Transformer-to-CNN Knowledge Distillation}},
  author    = {Florian Schmid and Khaled Koutini and Gerhard Widmer},
  booktitle = {IEEE International Conference on Acoustics, Speech and Signal Processing (ICASSP)},
  year      = {2023},
  url       = {https://arxiv.org/abs/2211.04772}}""",
    "schmid2024dynamic": """@article{schmid2024dynamic,
  title   = {{Dynamic Convolutional Neural Networks as Efficient Pre-Trained Audio Models}},
  author  = {Florian Schmid and Khaled Koutini and Gerhard Widmer},
  journal = {IEEE/ACM Transactions on Audio, Speech, and Language Processing},
  year    = {2024},
  url     = {https://arxiv.org/abs/2310.15648}}""",
    "niizumi2024m2dx": """@article{niizumi2024m2dx,
  title   = {{Masked Modeling Duo: Towards a Universal Audio Pre-training Framework}},
  author  = {Daisuke Niizumi and Daiki Takeuchi and Yasunori Ohishi and Noboru Harada and Kunio Kashino},
  journal = {IEEE/ACM Transactions on Audio, Speech, and Language Processing},
  volume  = {32},
  pages   = {2391--2406},
  year    = {2024},
  doi     = {10.1109/TASLP.2024.3389636}}""",
    "niizumi2023m2d": """@inproceedings{niizumi2023m2d,
  title     = {{Masked Modeling Duo: Learning Representations by Encouraging Both Networks to Model the Input}},
  author    = {Daisuke Niizumi and Daiki Takeuchi and Yasunori Ohishi and Noboru Harada and Kunio Kashino},
  booktitle = {IEEE International Conference on Acoustics, Speech and Signal Processing (ICASSP)},
  year      = {2023},
  doi       = {10.1109/ICASSP49357.2023.10097236}}""",
    "niizumi2023m2d4speech": """@inproceedings{niizumi2023m2d4speech,
  title     = {{Masked Modeling Duo for Speech: Specializing General-Purpose Audio Representation to Speech
               using Denoising Distillation}},
  author    = {Daisuke Niizumi and Daiki Takeuchi and Yasunori Ohishi and Noboru Harada and Kunio Kashino},
  booktitle = {Proc. INTERSPEECH},
  pages     = {1294--1298},
  year      = {2023},
  doi       = {10.21437/Interspeech.2023-221}}""",
    "niizumi2024m2dclap": """@inproceedings{niizumi2024m2dclap,
  title     = {{M2D-CLAP: Masked Modeling Duo Meets CLAP for Learning General-purpose Audio-Language Representation}},
  author    = {Daisuke Niizumi and Daiki Takeuchi and Yasunori Ohishi and Noboru Harada and Masahiro Yasuda and
               Shunsuke Tsubaki and Keisuke Imoto},
  booktitle = {Proc. INTERSPEECH},
  year      = {2024},
  url       = {https://arxiv.org/abs/2406.02032}}""",
    "niizumi2024embc": """@inproceedings{niizumi2024embc,
  title     = {{Exploring Pre-trained General-purpose Audio Representations for Heart Murmur Detection}},
  author    = {Daisuke Niizumi and Daiki Takeuchi and Yasunori Ohishi and Noboru Harada and Kunio Kashino},
  booktitle = {IEEE EMBC},
  year      = {2024},
  url       = {https://arxiv.org/abs/2404.17107}}""",
    "baade2022maeast": """@inproceedings{baade2022maeast,
  title     = {{MAE-AST: Masked Autoencoding Audio Spectrogram Transformer}},
  author    = {Alan Baade and Puyuan Peng and David Harwath},
  booktitle = {Proc. INTERSPEECH},
  year      = {2022},
  url       = {https://arxiv.org/abs/2203.16691}}""",
}


def bibtex(papers: tuple[str, ...]) -> str:
    """Return the entries of these papers; "" for none."""
    return "\n\n".join(BIBTEX[key] for key in papers)
