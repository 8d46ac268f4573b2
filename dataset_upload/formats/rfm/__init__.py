"""The RFM dataset: Parquet tables of one row a trajectory, and a clip each."""
