FROM docker.io/airbyte/python-connector-base:4.0.2@sha256:9fdb1888c4264cf6fee473649ecb593f56f58e5d0096a87ee0b231777e2e3e73

WORKDIR /airbyte/integration_code
COPY setup.py pyproject.toml constraints.txt main.py ./
COPY source_abandoned_carts source_abandoned_carts
RUN pip install --no-cache-dir --constraint constraints.txt .

USER airbyte
ENV AIRBYTE_ENTRYPOINT="source-abandoned-carts"
ENTRYPOINT ["source-abandoned-carts"]
