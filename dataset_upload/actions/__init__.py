"""Action representations: poses in, (T, D) actions out. Each is one module, named after what its users call it."""
