"""What the small EgoDex shows, one concern a module; `dataset_upload.make_mini_egodex` is the way in."""
