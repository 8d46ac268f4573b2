"""Which Hub repo to use, by whose token: found out before any work is done."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

from huggingface_hub import HfApi, get_session, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from dataset_upload.config import PLACEHOLDER_OWNER, HubConfig
from dataset_upload.console.logs import logger
from dataset_upload.errors import StoppedError, UsageError
from dataset_upload.storage.retries import doubling, retry

T = TypeVar("T")

CONFLICT = 412  # another commit came between
_TEMPORARY_ERRORS = (408, 429, 500, 502, 503, 504)
_ATTEMPTS, _FIRST_PAUSE_S = 3, 1.0
_TIMEOUT_S = 300.0


class HubRepo(NamedTuple):
    """A dataset repo that may be used.

    Attributes:
        api: the Hub's client; it holds the token.
        repo_id: OWNER/NAME.
    """

    api: HfApi
    repo_id: str

    @property
    def url(self) -> str:
        return f"{self.api.endpoint}/datasets/{self.repo_id}"


def find_repo(options: HubConfig) -> HubRepo:
    """The repo that the options mean, with a token that the Hub knows.

    An id without an owner, or with the placeholder owner, gets the owner that HF_USERNAME names, else the token's user.

    Raises:
        UsageError: no possible id, which is found out before any connection; no token or an invalid one.
        StoppedError: the Hub does not answer.
    """
    owner, _, name = options.hub_repo_id.rpartition("/")
    if owner in ("", PLACEHOLDER_OWNER):
        owner = os.environ.get("HF_USERNAME", "").strip()
    try:
        validate_repo_id(f"{owner or PLACEHOLDER_OWNER}/{name}")
    except HFValidationError as error:
        repo_id = f"{owner}/{name}" if owner else options.hub_repo_id
        raise UsageError(
            f"--hub.hub_repo_id: {repo_id!r} is not an OWNER/NAME that the Hub accepts: letters, digits, - _ ., "
            "no -- or .."
        ) from error
    token = options.hub_token or get_token()
    if token is None:
        no_owner = "" if owner else f" and {options.hub_repo_id!r} names no owner, nor does HF_USERNAME"
        raise UsageError(
            f"--hub.hub_token: there is no access token{no_owner}; set HF_TOKEN, or log in with `hf auth login`"
        )
    get_session().timeout = _TIMEOUT_S  # of its own accord the client would wait for ever
    api = HfApi(token=token, library_name="dataset_upload")
    with hub_errors("The access token could not be checked"):
        try:
            user = call_hub(api.whoami)["name"]
        except HfHubHTTPError as error:
            if error.response.status_code != 401:
                raise
            source = "--hub.hub_token" if options.hub_token else "HF_TOKEN" if os.environ.get("HF_TOKEN") else "login"
            raise UsageError(
                f"--hub.hub_token: the Hub does not accept the access token (from {source}); "
                "make another one, with the right to write"
            ) from error
    return HubRepo(api, f"{owner or user}/{name}")


def find_usable_repo(options: HubConfig, forbidden: str | None) -> HubRepo:
    """The repo to push to. Nothing is made, so that it may not exist yet; but if it does, it may be written to.

    Args:
        forbidden: why what is to be pushed must not be public, in half a sentence; None: it may be.

    Raises:
        UsageError: as `find_repo`; or no right to write; or the repo is public, which is forbidden, and `hub.private`
            is true.
        StoppedError: the Hub does not answer.
    """
    repo = find_repo(options)
    with hub_errors(f"{repo.repo_id} could not be opened"):
        if exists(repo):
            _check_access(repo, options, forbidden)
    return repo


def make_repo(repo: HubRepo, options: HubConfig, forbidden: str | None) -> None:
    """Make a repo that does not exist; trying is the only test of the right to do so. Raises as `find_usable_repo`."""
    with hub_errors(f"{repo.repo_id} could not be made"):
        if exists(repo):
            return
        with _writing(repo):
            call_hub(
                lambda: repo.api.create_repo(repo.repo_id, repo_type="dataset", private=options.private, exist_ok=True)
            )
        _check_access(repo, options, forbidden)


def _check_access(repo: HubRepo, options: HubConfig, forbidden: str | None) -> None:
    """Raises UsageError where the repo may not be written to, or is public though that is forbidden."""
    with _writing(repo):
        call_hub(lambda: repo.api.auth_check(repo.repo_id, repo_type="dataset", write=True))
    if forbidden is None or call_hub(lambda: repo.api.dataset_info(repo.repo_id)).private:
        return
    if options.private:
        raise UsageError(
            f"--hub.hub_repo_id: {repo.repo_id} is public, but {forbidden}; make the repo private, "
            "or give --hub.private=false to push all the same"
        )
    logger.warning(f"Warning: {repo.repo_id} is public, but {forbidden}")


@contextmanager
def _writing(repo: HubRepo) -> Iterator[None]:
    """Raises UsageError where the Hub answers that the token has no right to write."""
    try:
        yield
    except HfHubHTTPError as error:
        if error.response.status_code not in (401, 403, 404):
            raise
        raise UsageError(
            f"--hub.hub_repo_id: the access token has no right to write to {repo.repo_id}; "
            "give a repo of your own, or a token with that right"
        ) from error


def exists(repo: HubRepo) -> bool:
    """Whether there is such a repo that the token may read."""
    try:
        call_hub(lambda: repo.api.dataset_info(repo.repo_id))
    except RepositoryNotFoundError:
        return False
    return True


def call_hub(call: Callable[[], T]) -> T:
    """Make a call that may be made twice, up to three times if the Hub is busy or the connection breaks."""
    return retry(call, attempts=_ATTEMPTS, pause_s=doubling(_FIRST_PAUSE_S), may_pass=_may_pass)


def _may_pass(error: Exception) -> bool:
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in _TEMPORARY_ERRORS
    return not isinstance(error, ValueError)  # what else there is, is about the connection


@contextmanager
def hub_errors(what: str) -> Iterator[None]:
    """Turn whatever the Hub's clients raise into a StoppedError of one line.

    Args:
        what: the line's beginning: what was not done.
    """
    try:
        yield
    except (UsageError, StoppedError):
        raise
    except Exception as error:  # HTTP clients, xet and the file system have no common error
        raise StoppedError(f"{what}: {_explain(error)}") from error


def _explain(error: Exception) -> str:
    """What went wrong, in a part of a line."""
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        message = error.server_message or error.response.reason_phrase
        return f"the Hub answered {status} ({' '.join(message.split())})"
    if error.__cause__ is not None and isinstance(error.__cause__, HfHubHTTPError):
        return _explain(error.__cause__)
    lines = str(error).split("\n")
    return f"{type(error).__name__}: {' '.join(lines[0].split())}" if lines[0] else type(error).__name__
