"""`hub.push_to_hub=true`: a conversion that ends on the Hub, and the guide's recipes as they are printed."""

from __future__ import annotations

import sys
from pathlib import Path

import commands
import pytest
import yaml
from commands import Run
from hub_client import (
    REPO,
    SUBSETS,
    Client,
    conversion,
    local_files,
    mini_egodex,
    remote_files,
)
from hub_server import READ_TOKEN, WRITE_TOKEN, HubServer
from project import PROJECT

from dataset_upload.config import parse_config
from dataset_upload.errors import UsageError

pytestmark = pytest.mark.slow

CONFIG = "--config_path=dataset_upload/configs/data_gen_configs/egodex.yaml"


def generate(client: Client, output: Path, *options: str, **environment: str) -> Run:
    """Convert SUBSETS[0], or find that this is done, and push it."""
    arguments = conversion(mini_egodex() / "part1", output, SUBSETS[0])
    return client.run(*arguments, "--hub.push_to_hub=true", *options, **environment)


def test_a_conversion_can_end_on_the_hub(hub: HubServer, client: Client, tmp_path: Path) -> None:
    run = generate(client, tmp_path / "new")
    assert run.exit_code == 0, run.stderr
    assert run.stdout.index("Done:") < run.stdout.index("Pushed: ") < run.stdout.index("Verified: ")
    assert remote_files(hub).keys() == local_files(tmp_path / "new").keys()


def test_only_the_dataset_of_this_run_is_pushed(hub: HubServer, client: Client, output: Path) -> None:
    assert generate(client, output).exit_code == 0
    assert {path.split("/")[0] for path in remote_files(hub)} == {"README.md", SUBSETS[0]}
    assert SUBSETS[1].encode() not in remote_files(hub)["README.md"]


def test_a_push_that_stopped_goes_on_without_converting_again(hub: HubServer, client: Client, output: Path) -> None:
    hub.fail("/commit/", status=403)
    run = generate(client, output)
    assert run.exit_code == 3
    assert run.last_line == (
        f"Stopped: The push to {REPO} did not complete: the Hub answered 403 (as the test wishes); "
        "what is finished is kept, the same command goes on"
    )
    hub.release()
    again = generate(client, output)
    assert again.exit_code == 0, again.stderr
    assert "3 done in an earlier run" in again.stdout


def test_a_difference_on_the_hub_is_exit_code_1(hub: HubServer, client: Client, output: Path) -> None:
    hub.spoils = f"{SUBSETS[0]}/batch_0000/trajectory_0001.mp4"
    run = generate(client, output)
    assert run.exit_code == 1
    assert f"Different: {hub.spoils} has another hash" in run.stderr


def test_without_push_to_hub_nobody_asks_for_a_token(hub: HubServer, client: Client, output: Path) -> None:
    run = generate(client, output, "--hub.push_to_hub=false", HF_TOKEN="")
    assert run.exit_code == 0
    assert hub.count("whoami|repos|datasets") == 0


# Secrets


@pytest.mark.parametrize("source", ["option", "environment", "yaml"])
def test_the_token_is_neither_printed_nor_written(
    hub: HubServer, client: Client, output: Path, tmp_path: Path, source: str
) -> None:
    options, environment = ["--output.verbose=true"], {"HF_TOKEN": ""}
    if source == "option":
        options.append(f"--hub.hub_token={WRITE_TOKEN}")
    elif source == "environment":
        environment["HF_TOKEN"] = WRITE_TOKEN
    else:
        config = tmp_path / "config.yaml"
        config.write_text(f"hub: {{hub_token: {WRITE_TOKEN}}}\n")
        options.append(f"--config_path={config}")
    run = generate(client, output, *options, **environment)
    assert run.exit_code == 0, run.stderr
    (tmp_path / "config.yaml").unlink(missing_ok=True)
    secret = WRITE_TOKEN.removeprefix("hf_")
    assert secret not in run.stdout + run.stderr
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert client.home in {parent for path in written for parent in path.parents}
    assert [path for path in written if secret.encode() in path.read_bytes()] == []
    assert not any(secret.encode() in content for content in remote_files(hub).values())


@pytest.mark.parametrize(
    "options",
    [
        [f"--hub.hub_tokem={READ_TOKEN}"],
        [f"--hub.hub_tokem {READ_TOKEN}"],
        ["--hub.hub_tokem", READ_TOKEN],
        [f"--hub={READ_TOKEN}"],
        [f"--hub.private={READ_TOKEN}"],
        [READ_TOKEN],
    ],
)
def test_a_token_in_the_wrong_place_is_not_quoted(options: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        parse_config(["--dataset.dataset_path=/somewhere", *options])
    assert READ_TOKEN.removeprefix("hf_") not in str(error.value)


# The guide's recipes, in a folder of the user's with the data where the guide has it


def bash(client: Client, tmp_path: Path, script: str) -> Run:
    """Run a recipe; `uv run` is left out, and each conversion made quick."""
    (tmp_path / "dataset_upload").symlink_to(PROJECT / "dataset_upload")
    quick = "--output.frame_size=32 --output.num_workers=0"
    uv = f'set -e\nuv() {{ shift 2; "$PYTHON" "$@" {quick}; }}\n'
    environment = {**client.environment, "PYTHON": sys.executable, "HF_USERNAME": "alice"}
    return commands.run("-c", uv + script, program="bash", cwd=tmp_path, env=environment)


def config_names(hub: HubServer, repo: str) -> list[str]:
    card = remote_files(hub, repo)["README.md"].decode()
    configs = yaml.safe_load(card.split("---\n")[1])["configs"]
    return [config["config_name"] for config in configs if not config["config_name"].endswith("_hands")]


def test_the_recipe_of_manual_configuration(hub: HubServer, client: Client, tmp_path: Path) -> None:
    recipe = f"""
uv run python -m dataset_upload.generate_hf_dataset \\
    {CONFIG} \\
    --dataset.dataset_path="{mini_egodex()}/part1" \\
    --dataset.dataset_name="egodex_test" \\
    --output.max_trajectories=50 \\
    --output.max_frames=32
"""
    run = bash(client, tmp_path, recipe)
    assert run.exit_code == 0, run.stderr
    assert (tmp_path / "egodex_dataset" / "egodex_test" / "train-00000-of-00001.parquet").exists()
    assert hub.repos == {}


def test_the_recipe_of_parts_in_separate_datasets(hub: HubServer, client: Client, tmp_path: Path) -> None:
    recipe = f"""
for part in part1 part2; do
    uv run python -m dataset_upload.generate_hf_dataset \\
        {CONFIG} \\
        --dataset.dataset_path="{mini_egodex()}/${{part}}" \\
        --dataset.dataset_name="egodex_${{part}}" \\
        --output.output_dir="egodex_${{part}}_dataset" \\
        --output.max_trajectories=2000 \\
        --hub.push_to_hub=true
done
"""
    run = bash(client, tmp_path, recipe)
    assert run.exit_code == 0, run.stderr
    assert config_names(hub, "alice/egodex_rfm") == ["egodex_part1", "egodex_part2"]
    card = remote_files(hub)["README.md"].decode()
    assert "| `egodex_part1` | 3 |" in card and "| `egodex_part2` | 3 |" in card


def test_the_recipe_of_all_parts_in_one_repo(hub: HubServer, client: Client, tmp_path: Path) -> None:
    recipe = f"""
for part in part2 part1; do
    uv run python -m dataset_upload.generate_hf_dataset \\
        {CONFIG} \\
        --dataset.dataset_path="{mini_egodex()}/${{part}}" \\
        --dataset.dataset_name="egodx_${{part}}" \\
        --hub.hub_repo_id="your-username/egodx_rfm" \\
        --output.max_trajectories=5000 \\
        --hub.push_to_hub=true
done
"""
    run = bash(client, tmp_path, recipe)
    assert run.exit_code == 0, run.stderr
    assert config_names(hub, "alice/egodx_rfm") == ["egodx_part1", "egodx_part2"]
    assert remote_files(hub, "alice/egodx_rfm").keys() == local_files(tmp_path / "egodex_dataset").keys()
