"""From a benchmark to a report: prompts, generation, extraction, verdicts, statistics."""
