"""What EgoDex is: licence, citation, and what its annotations say."""

from __future__ import annotations

from dataset_upload.about import About, columns
from dataset_upload.actions.arkit import HAND_JOINTS

EGODEX = About(
    name="EgoDex",
    url="https://arxiv.org/abs/2505.11709",
    summary="First-person manipulation clips with 3D hand, fingertip and camera positions",
    licence="cc-by-nc-nd-4.0",
    licence_note="EgoDex is licensed CC-BY-NC-ND 4.0, which does not allow publishing adapted material: keep this "
    "dataset private.",
    publishing_forbidden="EgoDex is licensed CC-BY-NC-ND 4.0, which does not allow publishing what is made of it",
    tags=("egodex", "egocentric", "hand-pose"),
    citation="""\
@article{hoque2025egodex,
  title={EgoDex: Learning Dexterous Manipulation from Large-Scale Egocentric Video},
  author={Hoque, Ryan and Huang, Peide and Yoon, David J. and Sivapurapu, Mouli and Zhang, Jian},
  journal={arXiv preprint arXiv:2505.11709},
  year={2025}
}""",
    columns=(
        *columns(
            "the recording session; who recorded it (EgoDex's `extra`)", session_name="string", collector="string"
        ),
        *columns(
            "as annotated in EgoDex",
            environment="string",
            object="string",
            llm_type="string",
            llm_verbs="list<string>",
            llm_objects="list<string>",
        ),
        *columns(
            "both descriptions of a task that is also done in reverse",
            llm_description="string",
            llm_description2="string",
        ),
        *columns("which of them applies, 1 or 2; null where the source does not say", which_llm_description="int32"),
        *columns("whether the source says which description applies", task_certain="bool"),
        *columns(
            "EgoDex's other annotations",
            description="string",
            annotated_task="string",
            annotated_type="string",
            annotator_version="float64",
        ),
    ),
    hand_joints=HAND_JOINTS,
    fps=30,
)
