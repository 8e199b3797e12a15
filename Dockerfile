# One image for the driver, the nodes of a Ray cluster and the MLflow server; the files in deploy/ use it.
#   docker build -t leigh_mlops:0.1.0 .
#   docker run --rm -v "$PWD/plates:/data:ro" -v leigh-runs:/app/mlruns leigh_mlops:0.1.0 python -m leigh_mlops.tune --data /data
FROM python:3.11.14-slim-bookworm
# KubeRay's health probes call wget.
RUN apt-get update && apt-get install -y --no-install-recommends wget && rm -rf /var/lib/apt/lists/*
# A new volume inherits the owner of the folder on which it is mounted.
RUN useradd --create-home --uid 1000 leigh && install -d -o leigh -g leigh /app /app/mlruns /state /cache /data
USER leigh
WORKDIR /app
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1
COPY --chown=leigh deploy/requirements.lock ./
# Dependencies change less often than the code, so they get a layer of their own.
RUN python -m venv .venv && pip install --no-cache-dir --require-hashes --no-deps -r requirements.lock
COPY --chown=leigh pyproject.toml README.md LICENSE ./
COPY --chown=leigh leigh_mlops leigh_mlops
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable .
CMD ["python", "-m", "leigh_mlops.tune"]
