"""Importing this prepares a process, from which others are forked, to decode video; prints what there is to say."""

from dataset_upload.video.preparation import prepare

if (line := prepare()) is not None:
    print(line, flush=True)
