"""What a run refuses: before there is work to lose, in one line, and leaving nothing behind."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Run
from conversions import NAME, fork_convert
from drawn_egodex import tiny_egodex
from output_folder import identities, published

from dataset_upload import language, pipeline
from dataset_upload.errors import UsageError


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two episodes; not to be changed."""
    path = tmp_path_factory.mktemp("source") / "test"
    tiny_egodex(path, episodes=2)
    return path


def everything(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def refusal(source: Path, output_dir: Path, *more: str, **arguments: object) -> str:
    """The line that a run is refused with."""
    run: Run = fork_convert(source, output_dir, *more, **arguments)  # type: ignore[arg-type]
    assert run.exit_code == 2, run
    assert run.stderr.count("\n") == 1 and run.stderr.startswith("Error: "), run.stderr
    return run.stderr


# Where the result would go -------------------------------------------------------------------------------------


def test_a_readme_that_is_no_card_is_not_touched(source: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# My project\n")
    assert f"{readme} is not the dataset card" in refusal(source, tmp_path)
    assert readme.read_text() == "# My project\n" and everything(tmp_path) == {"README.md"}


@pytest.mark.parametrize("text", ["", "\n"])
def test_an_empty_readme_becomes_the_card(source: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "README.md").write_text(text)
    assert fork_convert(source, tmp_path).exit_code == 0
    assert f"config_name: {NAME}\n" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize("below", ["", "out", "basic_pick_and_place"])
def test_nothing_is_written_into_the_source(source: Path, tmp_path: Path, below: str) -> None:
    copy = shutil.copytree(source, tmp_path / "test")
    before = everything(tmp_path)
    assert "lies in the source" in refusal(copy, copy / below)
    assert everything(tmp_path) == before


def test_a_link_to_the_source_is_the_source(source: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(source, tmp_path / "test")
    (tmp_path / "link").symlink_to(copy)
    assert "lies in the source" in refusal(copy, tmp_path / "link" / "out")


def test_one_of_several_sources_is_a_source(source: Path, tmp_path: Path) -> None:
    for part in ("part1", "part2"):
        shutil.copytree(source, tmp_path / part)
    assert f"lies in the source {tmp_path / 'part2'}" in refusal(tmp_path / "part*", tmp_path / "part2" / "out")


def test_the_folder_of_a_dataset_is_not_that_of_its_source(source: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(source, tmp_path / "egodex" / "test")
    before = everything(tmp_path)
    assert "lies in the source" in refusal(copy, tmp_path / "egodex", name="test")
    assert f"lies in {tmp_path / 'egodex'}" in refusal(copy, tmp_path, name="egodex")
    assert everything(tmp_path) == before


def test_the_output_may_lie_above_the_source(source: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(source, tmp_path / "test")
    assert fork_convert(copy, tmp_path, "--output.max_trajectories=1").exit_code == 0


# What would not fit ---------------------------------------------------------------------------------------------


@pytest.fixture
def made_of_test(source: Path, tmp_path: Path) -> Path:
    """An output folder with a dataset of the part `test`."""
    assert fork_convert(source, tmp_path / "out").exit_code == 0
    return tmp_path / "out"


@pytest.fixture
def other_part(tmp_path: Path) -> Path:
    """A part of another name, whose episodes have the same keys."""
    tiny_egodex(tmp_path / "part1", episodes=2, seed=1)
    return tmp_path / "part1"


def test_another_part_is_refused_with_the_cures(made_of_test: Path, other_part: Path) -> None:
    before = identities(made_of_test)
    said = refusal(other_part, made_of_test)
    assert "was made of the part test, and this is part1" in said
    assert "another --dataset.dataset_name" in said and "--output.overwrite=true" in said
    assert "a folder or a link that is called test" in said
    assert identities(made_of_test) == before


def test_overwrite_replaces_a_dataset_of_another_part(made_of_test: Path, other_part: Path, tmp_path: Path) -> None:
    replaced = fork_convert(other_part, made_of_test, "--output.overwrite=true")
    assert replaced.exit_code == 0 and "or of another part" in replaced.stderr
    assert fork_convert(other_part, tmp_path / "fresh").exit_code == 0
    assert published(made_of_test) == published(tmp_path / "fresh")


def test_a_renamed_copy_goes_on_by_a_link_of_the_old_name(source: Path, made_of_test: Path, tmp_path: Path) -> None:
    before = identities(made_of_test)
    copy = shutil.copytree(source, tmp_path / "copied")
    assert "and this is copied" in refusal(copy, made_of_test)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "test").symlink_to(copy)
    assert fork_convert(tmp_path / "links" / "test", made_of_test).exit_code == 0
    assert identities(made_of_test) == before


def test_a_zip_of_the_part_is_the_part(source: Path, made_of_test: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "test"), "zip", source.parent, "test")
    assert fork_convert(Path(archive), made_of_test).exit_code == 0
    assert fork_convert(Path(archive).rename(tmp_path / "renamed.zip"), made_of_test).exit_code == 0


def test_a_list_of_parts_may_grow(source: Path, other_part: Path, tmp_path: Path) -> None:
    for paths, num_done in ((f"[{source}]", 2), (f"[{source}, {other_part}]", 4), (f"[{other_part}]", 2)):
        run = fork_convert(paths, tmp_path / "out")
        assert run.exit_code == 0 and f"Done:    {num_done}\n" in run.stdout, run.stderr


def test_a_list_and_a_single_part_do_not_mix(source: Path, made_of_test: Path) -> None:
    assert "was made of one part and this names several" in refusal(f"[{source}]", made_of_test)  # type: ignore[arg-type]


def test_settings_are_compared_before_the_demo_is_drawn(made_of_test: Path, tmp_path: Path) -> None:
    options = ("--dataset.mini_episodes=3", "--output.max_frames=4")
    assert "was made with other settings" in refusal(tmp_path / "drawn" / "test", made_of_test, *options)
    assert not (tmp_path / "drawn").exists()


# Nothing is left behind ----------------------------------------------------------------------------------------


def no_sentence_model() -> None:
    def refuse() -> None:
        raise UsageError("The sentence model is not on this machine")

    setattr(language, "check_model", refuse)  # noqa: B010


def test_the_sentence_model_is_looked_for_before_the_demo_is_drawn(tmp_path: Path) -> None:
    said = refusal(tmp_path / "mini", tmp_path / "out", "--dataset.mini_episodes=3", first=no_sentence_model)
    assert "sentence model" in said and not everything(tmp_path)


def test_without_the_sentence_model_a_dataset_is_not_begun(source: Path, tmp_path: Path) -> None:
    assert "sentence model" in refusal(source, tmp_path / "out", first=no_sentence_model)
    assert not everything(tmp_path)


def test_without_the_sentence_model_a_finished_dataset_stays_finished(source: Path, tmp_path: Path) -> None:
    assert fork_convert(source, tmp_path).exit_code == 0
    assert fork_convert(source, tmp_path, first=no_sentence_model).exit_code == 0


def refuse_at(step: str) -> Callable[[], None]:
    """For `first`: have a step of the run refuse."""

    def refuse(*_: object) -> None:
        raise UsageError(f"{step} refused")

    return lambda: setattr(pipeline, step, refuse)


@pytest.mark.parametrize("step", ["check_same_naming", "make_repo_if_asked", "reopen_lost"])
def test_a_run_that_is_refused_late_leaves_nothing_behind(source: Path, tmp_path: Path, step: str) -> None:
    assert f"{step} refused" in refusal(source, tmp_path / "new" / "out", first=refuse_at(step))
    assert not everything(tmp_path)


def test_what_was_there_before_a_refused_run_stays(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    refusal(source, tmp_path / "out", first=refuse_at("make_repo_if_asked"))
    assert everything(tmp_path) == {"out"}
    assert fork_convert(source, tmp_path / "out").exit_code == 0
    before = identities(tmp_path / "out")
    refusal(source, tmp_path / "out", first=refuse_at("make_repo_if_asked"))
    assert identities(tmp_path / "out") == before


# What a finished run leaves ------------------------------------------------------------------------------------


def test_a_finished_run_leaves_only_its_lock_in_work(source: Path, tmp_path: Path) -> None:
    (tmp_path / NAME / ".work" / "incoming-of-a-killed-run").mkdir(parents=True)
    for _ in range(2):
        assert fork_convert(source, tmp_path).exit_code == 0
        assert everything(tmp_path / NAME / ".work") == {"lock"}
        (tmp_path / NAME / ".work" / "incoming-of-a-killed-run").mkdir()
