"""Judge a trained reward model: `reward_model/eval.py`, as the guide prints it.

python eval.py runs/egodex/checkpoints/best egodex_dataset/egodex --out report/
"""

from reward_model.eval import script

if __name__ == "__main__":
    script()
