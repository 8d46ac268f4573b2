"""Importing this loads the sentence model into a process, from which others are forked that then share its memory."""

from contextlib import suppress

import pyarrow as pa

from dataset_upload.language import LanguageModelError, text_encoder

pa.array([""])  # makes pyarrow load pandas, where that is installed
with suppress(LanguageModelError, OSError):  # then the first worker says so
    text_encoder().encode("")
