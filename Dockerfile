# One image for the driver, the nodes of a Ray cluster and the MLflow server; the files in deploy/ use it.
#   docker build -t leigh_mlops:0.1.0 .
# README.md shows how to run it, docs/servers.md how to build it without CUDA and how to move to another base image.
FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d
# KubeRay's health probes call wget.
RUN apt-get update && apt-get install -y --no-install-recommends wget && rm -rf /var/lib/apt/lists/*
# A new volume inherits the owner of the folder on which it is mounted.
RUN useradd --create-home --uid 1000 leigh && install -d -o leigh -g leigh /app /app/mlruns /state /cache /data
USER leigh
WORKDIR /app
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1
# Volumes at these folders keep searches and pixels beyond the container.
ENV LEIGH_STATE=/state LEIGH_CACHE=/cache
COPY --chown=leigh deploy/requirements.lock deploy/install_requirements.sh ./
# Address of an index of CPU builds of PyTorch; without it the image has CUDA.
ARG TORCH_INDEX=
# Dependencies change less often than the code, so they get a layer of their own.
RUN python -m venv .venv && TORCH_INDEX=$TORCH_INDEX sh install_requirements.sh
COPY --chown=leigh pyproject.toml README.md LICENSE deploy/nightly.sh ./
COPY --chown=leigh leigh_mlops leigh_mlops
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable .
CMD ["python", "-m", "leigh_mlops.tune"]
