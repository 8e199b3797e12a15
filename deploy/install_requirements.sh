#!/bin/sh
# Installs deploy/requirements.lock into an image. With TORCH_INDEX, the address of an index of CPU builds of PyTorch,
# torch and torchvision come from there in the locked versions, and the CUDA libraries (5 GB) are left out.
set -eu
install="pip install --no-cache-dir --no-deps"
if [ -z "${TORCH_INDEX:-}" ]; then
  exec $install --require-hashes -r requirements.lock
fi
sed -E '/^(nvidia-[^ ]*|cuda-[^ ]*|triton|torch|torchvision)==/,/[^\\]$/d' requirements.lock > requirements-cpu.lock
$install --require-hashes -r requirements-cpu.lock
# Their hashes are not those of the lock file, which names the CUDA builds.
# shellcheck disable=SC2046 # one word per requirement
$install --index-url "$TORCH_INDEX" $(grep -oE '^(torch|torchvision)==[^ ]+' requirements.lock)
