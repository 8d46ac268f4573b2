"""Video: which frames to take, how to decode them, resize them, encode them."""
