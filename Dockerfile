# Orthanc with Preread, as an ordinary user. See plugin/docker/compose.yaml and README.md.
#
#   docker build -t preread .
#   docker build -t preread --build-arg TORCH_INDEX="address of an index with CPU builds of torch" .
#
# PyPI's torch brings CUDA (5 GB); the second line takes the build without it.
FROM debian:bookworm-slim

RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates orthanc orthanc-dicomweb orthanc-python python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10042 --user-group --no-create-home --home-dir /var/lib/preread \
        preread \
    && install -d -o preread -g preread -m 0700 /var/lib/preread

WORKDIR /opt/preread

# The dependencies alone, so that a change of the sources does not install them again.
ARG TORCH_INDEX=""
COPY pyproject.toml ./
RUN python3.11 -m venv .venv \
    && if [ -n "$TORCH_INDEX" ]; then \
        .venv/bin/pip install --no-cache-dir --quiet --index-url "$TORCH_INDEX" \
            torch torchvision; fi \
    && .venv/bin/python -c "import tomllib; \
project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
print(*project['dependencies'], *project['optional-dependencies']['service'], sep='\n')" \
        > /tmp/requirements.txt \
    && .venv/bin/pip install --no-cache-dir --quiet -r /tmp/requirements.txt setuptools wheel \
    && rm /tmp/requirements.txt

COPY README.md LICENSE CHANGELOG.md ./
COPY plugin plugin
COPY models models
RUN .venv/bin/pip install --no-cache-dir --quiet --no-deps --no-build-isolation -e . \
    && install -d /etc/preread \
    && cp plugin/docker/orthanc.json /etc/preread/orthanc.json

USER preread
VOLUME /var/lib/preread
EXPOSE 8042 4242

HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=4 \
    CMD ["/opt/preread/.venv/bin/python", "-m", "preread.container", "health"]
ENTRYPOINT ["/opt/preread/.venv/bin/python", "-m", "preread.container", "start"]
