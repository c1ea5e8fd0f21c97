#!/bin/bash
# sbatch --nodes 2 --gpus-per-node 8 configs/accelerate/slurm.sh CONFIG [KEY=VALUE ...]
#
# One task a node; accelerate starts a process for each GPU of it. ACCELERATE names another file of
# this folder, such as ACCELERATE=configs/accelerate/fsdp2.yaml. Ten minutes before its time is up
# SLURM sends SIGTERM: the run saves a checkpoint and stops, and the same command goes on from it.
#SBATCH --job-name=mmdft
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@600
#SBATCH --output=%x-%j.log
set -euo pipefail

# How long torchrun waits for a step and its checkpoint before it kills.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=540
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export FIRST=$first GPUS=${SLURM_GPUS_ON_NODE:-8}

# SLURM_NODEID differs from node to node, so that each expands it for itself.
srun bash -c 'exec accelerate launch \
    --config_file "${ACCELERATE:-configs/accelerate/ddp.yaml}" \
    --num_machines "$SLURM_NNODES" --num_processes "$((SLURM_NNODES * GPUS))" \
    --machine_rank "$SLURM_NODEID" --main_process_ip "$FIRST" --main_process_port 29500 \
    --rdzv_backend c10d -m mmdft train "$@"' mmdft "$@"
