"""What each rank of tests/integration/test_distributed.py runs: one configuration after another."""

import os
import sys

import accelerate.state
import torch
from accelerate.utils import DistributedType

from mmdft import load_config, train

torch.set_num_threads(1)
if os.environ.get("ACCELERATE_USE_FSDP") == "true":
    # accelerate shards over GPUs only; FSDP2 itself asks for no more than gloo and the CPU.
    accelerate.state.PartialState._prepare_backend = lambda self, *args, **kwargs: (
        "gloo",
        DistributedType.MULTI_GPU,
    )

for path in sys.argv[1:]:
    train(load_config(path))
torch.distributed.barrier()
# The trainings are over. An interpreter that winds down is now and then aborted by gloo's threads
# ("terminate called without an active exception"), where a machine has more to do than cores.
sys.stdout.flush()
sys.stderr.flush()
os._exit(0)
