"""A network of diffusers, called as its kind wants it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from diffnotes.base.errors import UserError, quoted
from diffnotes.base.shapes import Tensor


class Asked:
    """A network of diffusers, asked for what it predicts: (x_t, time, labels) -> [b, c, h, w]."""

    def __init__(self, network: nn.Module, config: dict[str, Any], context: Tensor | None) -> None:
        self.network, self.context, self.kind = network, context, str(config.get("_class_name"))
        self.channels = int(config.get("in_channels") or 0)
        self.shape = self._shape(config)
        self.classes, self.null = self._classes(config)
        self.needs_label = self.classes > 0 and self.null is None
        self.steps = config.get("time_embedding_type") == "learned"
        if self.kind == "UNet2DConditionModel":
            self._take_context(config)

    def _shape(self, config: dict[str, Any]) -> tuple[int, ...] | None:
        side = config.get("sample_size")
        sides = [side, side] if isinstance(side, int) else side
        if self.channels < 1 or not (sides is None or (isinstance(sides, list | tuple) and len(sides) == 2)):
            raise UserError("config.json says no channels or sides of images; get it again.")
        return None if sides is None else (self.channels, int(sides[0]), int(sides[1]))

    def _classes(self, config: dict[str, Any]) -> tuple[int, int | None]:
        """How many classes there are, and which number stands for none."""
        if self.kind == "DiTTransformer2DModel":
            count = int(config.get("num_embeds_ada_norm") or 1000)
            return count, count
        if config.get("class_embed_type") not in (None, "timestep"):
            raise UserError(
                f"Classes as {quoted(config['class_embed_type'])} are not known here; wrap the model in a "
                "function of yours, as module:function."
            )
        return int(config.get("num_class_embeds") or 0), None

    def _take_context(self, config: dict[str, Any]) -> None:
        width = config.get("cross_attention_dim", 1280)
        if self.context is None:
            raise UserError(
                "This network is told a text or a class by cross-attention; give what it is told, an array "
                f"[classes, tokens, {width}], as context."
            )
        if self.context.ndim != 3 or self.context.shape[2] != width:
            raise UserError(
                f"context must be [classes, tokens, {width}], not {[*self.context.shape]}: what the network "
                "is told of each class."
            )
        if len(self.context) > 1:
            self.classes, self.needs_label = len(self.context), True

    def __call__(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.steps:
            t = t.round().long()
        given: dict[str, Tensor] = {}
        if self.context is not None:
            place = torch.zeros(len(x), dtype=torch.int64) if labels is None else labels.cpu()
            given["encoder_hidden_states"] = self.context[place].to(x)
        elif self.classes:
            given["class_labels"] = self._labels(x, labels)
        found: Tensor = self.network(x, t, **given, return_dict=False)[0]
        if found.shape[1] == 2 * self.channels:  # the second half is a variance
            found = found[:, : self.channels]
        return found

    def _labels(self, x: Tensor, labels: Tensor | None) -> Tensor:
        none = self.null if self.null is not None else 0
        wanted = torch.full((len(x),), none) if labels is None else torch.where(labels < 0, none, labels)
        return wanted.to(x.device)
