FROM docker.io/airbyte/python-connector-base:4.0.2@sha256:9fdb1888c4264cf6fee473649ecb593f56f58e5d0096a87ee0b231777e2e3e73 AS base

# The dependencies: built anew only when these files change.
FROM base AS dependencies
WORKDIR /build
COPY setup.py pyproject.toml constraints.txt ./
RUN python -m venv --without-pip /venv \
    && pip --python /venv/bin/python install --no-cache-dir --constraint constraints.txt . \
    # The package itself comes later. The others are the CDK's, for what this connector does not do:
    # files, low code, Google's secrets. A test runs the image; they weigh three quarters of it.
    && pip --python /venv/bin/python uninstall --yes source-abandoned-carts \
        pandas numpy tzlocal dateparser regex nltk joblib tqdm rapidfuzz unidecode boltons \
        google-cloud-secret-manager google-api-core google-auth googleapis-common-protos \
        grpc-google-iam-v1 grpcio grpcio-status proto-plus protobuf pyasn1 pyasn1-modules \
        rich rich-click click pygments markdown-it-py mdurl wcmatch bracex python-ulid setuptools

FROM dependencies AS package
COPY source_abandoned_carts source_abandoned_carts
RUN pip --python /venv/bin/python install --no-cache-dir --no-deps --target /airbyte/integration_code .

FROM base
COPY --from=dependencies /venv /venv
COPY --from=package /airbyte/integration_code /airbyte/integration_code
ENV PATH=/airbyte/integration_code/bin:/venv/bin:$PATH PYTHONPATH=/airbyte/integration_code
WORKDIR /airbyte/integration_code
USER airbyte
LABEL io.airbyte.name=airbyte/source-abandoned-carts io.airbyte.version=0.1.0
ENV AIRBYTE_ENTRYPOINT=source-abandoned-carts
ENTRYPOINT ["source-abandoned-carts"]
