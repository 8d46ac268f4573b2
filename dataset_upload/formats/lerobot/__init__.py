"""LeRobot datasets, v3.0 and v2.1: a row a frame in Parquet, videos of many episodes or of one."""
