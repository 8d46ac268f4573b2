"""Train a reward model on what the converter writes: `reward_model/train.py`, as the guide prints it.

    uv run accelerate launch --config_file configs/fsdp.yaml train.py \\
        --config_path=configs/config.yaml --dataset.dataset_path=egodex_dataset/egodex
"""

from reward_model.train import script

if __name__ == "__main__":
    script()
