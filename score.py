"""Score a video with a trained reward model: `reward_model/score.py`.

python score.py runs/egodex video.mp4 --task "Open the box" --out scored.mp4
"""

from reward_model.score import script

if __name__ == "__main__":
    script()
