"""The stages that find the answer in a response; `mmdft.evals.extract` tries them in order."""
