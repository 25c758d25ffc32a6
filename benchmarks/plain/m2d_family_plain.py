# SPDX-License-Identifier: Apache-2.0
"""Plain training steps of M2D's relatives, in the manner of m2d_plain.py: eager PyTorch, op by op, nothing fused.

M2D-X (a frozen teacher, run on every batch), M2D-S (stored features) and MSM-MAE (reconstruction). They are what
``benchmarks.pretrain_step --method`` compares with; ``tests/test_plain_family.py`` holds them to the published vectors.
"""
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.plain.m2d_plain import M2D, Block, pos_table, take


class M2DX(M2D):
    """M2D, and a linear head on the whole grid that predicts the features of a teacher (a plain M2D, frozen)."""

    def __init__(self, input_size, patch_size, off_emb_dim, loss_m2d=1.0, loss_off=1.0, teacher=None, **kwargs):
        super().__init__(input_size, patch_size, **kwargs)
        self.grid = (input_size[0] // patch_size[0], input_size[1] // patch_size[1])
        self.loss_m2d, self.loss_off = loss_m2d, loss_off
        width = self.cls_token.shape[-1]
        self.offline_predictor = nn.Linear(self.grid[0] * width, off_emb_dim)
        self.teacher = [teacher] if teacher is not None else []   # in a list: not among the student's parameters

    def stack(self, tokens):
        """(B, F*T, D) -> (B, T, F*D)."""
        b, _, d = tokens.shape
        f, t = self.grid
        return tokens.reshape(b, f, t, d).transpose(1, 2).reshape(b, t, f * d)

    @torch.no_grad()
    def teach(self, x):
        teacher = self.teacher[0]
        return self.stack(teacher.encode(teacher.embed(x))[:, 1:])

    def offline(self, latent, pred, ids_restore):
        return self.offline_predictor(self.stack(take(torch.cat([latent[:, 1:], pred], dim=1), ids_restore)))

    def forward(self, x, noise=None, features=None):
        if features is None:
            features = self.teach(x)
        out = self.forward_all(x, noise)
        loss_off = self.forward_loss(features, self.offline(out["latent"], out["pred"], out["ids_restore"]))
        return self.loss_m2d * out["loss"] + self.loss_off * loss_off


class M2DS(M2DX):
    """Stored features in the place of the teacher's, brought to the patches' rate by averaging neighbours."""

    def forward(self, x, noise=None, features=None):
        b, n, d = features.shape
        t = self.grid[1]
        return super().forward(x, noise, features.reshape(b, t, n // t, d).mean(dim=2))


class MSMMAE(nn.Module):
    """Masked autoencoder of the spectrogram."""

    def __init__(self, input_size=(80, 208), patch_size=(16, 16), embed_dim=768, depth=12, num_heads=12,
                 decoder_embed_dim=384, decoder_depth=4, decoder_num_heads=6, mask_ratio=0.75, norm_pix=False,
                 norm_stats=(-7.1, 4.2)):
        super().__init__()
        self.mask_ratio, self.norm_pix, self.patch_size = mask_ratio, norm_pix, patch_size
        self.grid = (input_size[0] // patch_size[0], input_size[1] // patch_size[1])
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(1, embed_dim, tuple(patch_size), tuple(patch_size))})
        self.norm_stats = nn.Parameter(torch.tensor(norm_stats), requires_grad=False)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.pos_embed = nn.Parameter(pos_table(embed_dim, self.grid), requires_grad=False)
        self.blocks = nn.ModuleList([Block(embed_dim, num_heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self.decoder_embed = nn.Linear(embed_dim, decoder_embed_dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_embed_dim))
        self.decoder_pos_embed = nn.Parameter(pos_table(decoder_embed_dim, self.grid), requires_grad=False)
        self.decoder_blocks = nn.ModuleList([Block(decoder_embed_dim, decoder_num_heads) for _ in range(decoder_depth)])
        self.decoder_norm = nn.LayerNorm(decoder_embed_dim, eps=1e-6)
        self.decoder_pred = nn.Linear(decoder_embed_dim, patch_size[0] * patch_size[1])
        M2D.initialize(self)

    embed, add_cls, random_masking, encode, predict_all = (
        M2D.embed, M2D.add_cls, M2D.random_masking, M2D.encode, M2D.predict_all)

    def patchify(self, x):
        """(B, 1, H, W) -> (B, F*T, ph*pw)."""
        b, (f, t), (h, w) = x.shape[0], self.grid, self.patch_size
        return x.reshape(b, f, h, t, w).permute(0, 1, 3, 2, 4).reshape(b, f * t, h * w)

    def forward(self, x, noise=None):
        tokens = self.embed(x)
        ids_shuffle, ids_restore, mask, len_keep = self.random_masking(tokens, noise)
        pred = self.predict_all(self.encode(take(tokens, ids_shuffle[:, :len_keep])), ids_restore)
        target = self.patchify(x)
        if self.norm_pix:
            mean, var = target.mean(dim=-1, keepdim=True), target.var(dim=-1, keepdim=True)
            target = (target - mean) / (var + 1e-6) ** 0.5
        loss = F.mse_loss(pred.float(), target, reduction="none").mean(dim=-1)
        return (loss * mask).sum() / mask.sum()

    def update_target(self, decay):
        """There is none."""
