"""Training data out of a model's own answers: several to each question, kept by what they score."""
