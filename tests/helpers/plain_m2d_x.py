"""M2D-X restated literally, token by token, around the plain M2D of benchmarks/plain.

Source: [m2d 4.3](docs/specification/m2d.md#s4-3).
"""

from __future__ import annotations

import torch
from torch import nn

from helpers.plain import plain

m2d_plain = plain("m2d_plain")


class LiteralM2DX(m2d_plain.M2D):
    """The student, its second head, and a frozen plain M2D as teacher, held outside the student's parameters."""

    def __init__(self, teacher, outputs, loss_m2d=1.0, loss_off=1.0, **sizes):
        super().__init__(**sizes)
        rows = sizes["input_size"][0] // sizes["patch_size"][0]
        self.offline_predictor = nn.Linear(rows * sizes["embed_dim"], outputs)
        self.grid = (rows, sizes["input_size"][1] // sizes["patch_size"][1])
        self.weights, self.teacher = (loss_m2d, loss_off), [teacher]

    def forward(self, x, noise, heard_by_teacher):
        out = self.forward_all(x, noise)
        predicted = self.offline_predictor(self.grid_of(out["latent"][:, 1:], out["pred"], out["ids_shuffle"]))
        offline = self.forward_loss(self.frames_of_teacher(heard_by_teacher), predicted)
        return self.weights[0] * out["loss"] + self.weights[1] * offline

    def grid_of(self, visible, predicted, ids_shuffle):
        """(B, T, F*D): every token put where it came from, frequency by frequency."""
        tokens, (rows, columns) = torch.cat([visible, predicted], dim=1), self.grid
        places = [[None] * (rows * columns) for _ in tokens]
        for clip, order in enumerate(ids_shuffle.tolist()):
            for i, place in enumerate(order):
                places[clip][place] = tokens[clip, i]
        return stacked(places, rows, columns)

    @torch.no_grad()
    def frames_of_teacher(self, x):
        """(B, T, F*D): the teacher's online encoder on all patches."""
        tokens = self.teacher[0].unmasked_layers(x)[-1][:, 1:]
        return stacked([list(clip) for clip in tokens], *self.grid)


def stacked(places, rows, columns):
    """Tokens in f * T + t order -> (B, T, F*D), the patches of a time step side by side, low frequencies first."""
    return torch.stack(
        [
            torch.stack([torch.cat([clip[f * columns + t] for f in range(rows)]) for t in range(columns)])
            for clip in places
        ]
    )
