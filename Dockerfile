FROM docker.io/airbyte/python-connector-base:4.0.2@sha256:9fdb1888c4264cf6fee473649ecb593f56f58e5d0096a87ee0b231777e2e3e73 AS base

# Docker rebuilds this layer only when requirements.txt changes. Its end lists what is left out, and
# NOT_IN_IMAGE in the Makefile says why.
FROM base AS dependencies
WORKDIR /build
COPY requirements.txt ./
RUN python -m venv --without-pip /venv \
    && pip --python /venv/bin/python install --no-cache-dir --no-deps --require-hashes --requirement requirements.txt

FROM dependencies AS package
COPY setup.py pyproject.toml metadata.yaml ./
COPY source_abandoned_carts source_abandoned_carts
RUN pip --python /venv/bin/python install --no-cache-dir --no-deps --target /airbyte/integration_code .

FROM base
COPY --from=dependencies /venv /venv
COPY --from=package /airbyte/integration_code /airbyte/integration_code
ENV PATH=/airbyte/integration_code/bin:/venv/bin:$PATH PYTHONPATH=/airbyte/integration_code
WORKDIR /airbyte/integration_code
USER airbyte
ENV AIRBYTE_ENTRYPOINT=source-abandoned-carts
ENTRYPOINT ["source-abandoned-carts"]
