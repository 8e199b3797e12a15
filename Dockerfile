# The same environment as `make .venv`, and the same commands:
#   docker build -t leigh_mlops .
#   docker run --rm -v "$PWD/plates:/data:ro" -v "$PWD/mlruns:/app/mlruns" leigh_mlops python -m leigh_mlops.tune --data /data
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends make git && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home leigh && install -d -o leigh /app
USER leigh
WORKDIR /app
COPY --chown=leigh requirements.lock pyproject.toml Makefile README.md ./
# The pins change less often than the code, so that they make a layer of their own.
RUN mkdir leigh_mlops && touch leigh_mlops/__init__.py && make .venv
COPY --chown=leigh . .
RUN touch .venv/.installed
ENV PATH=/app/.venv/bin:$PATH
CMD ["python", "-m", "leigh_mlops.tune"]
