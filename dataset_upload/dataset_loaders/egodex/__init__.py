"""EgoDex: one HDF5 file of poses for one MP4 file of first-person video."""
