r"""What a set of verdicts amounts to: rates, their uncertainty, and paired differences.

Accuracy is correct / scored, where scored = n - unscored; `no_answer` counts as not correct, and
`unscored` is left out because it says nothing about the model. What hangs together (the versions
of one problem, repeated answers to one item) is a cluster, and clusters are what varies:

- `means`: the clustered error of a mean and its interval;
- `bootstrap`: the same for scores that are no means, by resampling clusters;
- `samples`: avg@n, pass@k and majority@n of several answers to each item;
- `paired`: two runs on the same items, by exact tests that swap whole clusters;
- `planning`: Holm's correction for many tests, and the difference that a comparison can detect;
- `behaviour`: how the responses are: cut off, in the form asked for, repeating themselves;
- `floor`: what a rule gives to empty responses.
"""

from mmdft.evals.stats.behaviour import Traits, form_asked, repeats, traits_of
from mmdft.evals.stats.bootstrap import Estimate, bootstrap, paired_bootstrap, swap_p
from mmdft.evals.stats.floor import floor_accuracy
from mmdft.evals.stats.means import accuracy_interval, clustered_error, wilson_interval
from mmdft.evals.stats.paired import (
    PairedDifference,
    mcnemar_p,
    paired_difference,
    paired_samples,
    paired_score,
    sign_flip_p,
)
from mmdft.evals.stats.planning import detectable_difference, holm
from mmdft.evals.stats.samples import SampleEstimate, sample_scores
from mmdft.evals.stats.summary import Summary, summarise

__all__ = [
    "Estimate",
    "PairedDifference",
    "SampleEstimate",
    "Summary",
    "Traits",
    "accuracy_interval",
    "bootstrap",
    "clustered_error",
    "detectable_difference",
    "floor_accuracy",
    "form_asked",
    "holm",
    "mcnemar_p",
    "paired_bootstrap",
    "paired_difference",
    "paired_samples",
    "paired_score",
    "repeats",
    "sample_scores",
    "sign_flip_p",
    "summarise",
    "swap_p",
    "traits_of",
    "wilson_interval",
]
