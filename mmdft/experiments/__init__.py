"""Objectives compared from one base, over learning rates and seeds."""
