"""Writers: the formats that come out."""
