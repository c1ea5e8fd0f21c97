"""From a raw row to a batch: sources, images, render, dataset, collate, figures."""
