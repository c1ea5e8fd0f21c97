"""`mmdft compare`: evaluations of several models on the same items, side by side."""
