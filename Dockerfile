# Orthanc with Preread, as an ordinary user. See plugin/docker/compose.yaml and README.md.
#
#   docker build -t preread .
#
# The base image is told by its digest. The project's tests build on debian:bookworm-slim, so that they
# need no registry; the digest itself was looked up, not tried:
#
#   docker build -t preread --build-arg BASE=debian:bookworm-slim .
ARG BASE=debian:bookworm-slim@sha256:96e378d7e6531ac9a15ad505478fcc2e69f371b10f5cdf87857c4b8188404716

FROM ${BASE} AS packages
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates python3-venv
WORKDIR /opt/preread
# The dependencies alone, so that a change of the sources does not install them again: exact versions,
# each told by its hash.
COPY .ci/locks/node.txt /tmp/
RUN python3.11 -m venv .venv \
    && .venv/bin/pip install --no-cache-dir --quiet --no-compile --require-hashes --only-binary :all: \
        -r /tmp/node.txt
COPY plugin/preread/__init__.py plugin/preread/errors.py \
    plugin/preread/deidentify/pixels/detector_file.py /tmp/preread/
RUN PYTHONPATH=/tmp .venv/bin/python -m preread.detector_file
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY plugin plugin
# Left out: what no CPU needs of OpenVINO, its readers of formats that are not used here, what packages
# test themselves with, archives for linkers, and pip. Compiled once, here: who runs it cannot write
# beside it, and would compile at every start.
RUN .venv/bin/pip install --no-cache-dir --quiet --no-deps --no-build-isolation -e . \
    && cd .venv/lib/python3.11/site-packages \
    && /opt/preread/.venv/bin/pip uninstall --quiet --yes setuptools pip \
    && rm -f openvino/libs/libopenvino_intel_gpu_plugin* openvino/libs/libopenvino_intel_npu* \
        openvino/libs/cache.json \
    && for reader in gguf jax paddle pytorch tensorflow; do \
        rm -f openvino/libs/libopenvino_${reader}_*; done \
    && find . -type d -name tests -not -path './preread*' -prune -exec rm -rf {} + \
    && find . -name '*.a' -delete \
    && find . -name __pycache__ -prune -exec rm -rf {} + \
    && /opt/preread/.venv/bin/python -m compileall -q -j 0 . /opt/preread/plugin

FROM ${BASE}
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates orthanc orthanc-dicomweb orthanc-python python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10042 --user-group --no-create-home --home-dir /var/lib/preread \
        preread \
    && install -d -o preread -g preread -m 0700 /var/lib/preread \
    && install -d /etc/preread

WORKDIR /opt/preread
COPY plugin/docker/orthanc.json /etc/preread/orthanc.json
COPY models models
COPY --from=packages /opt/preread ./

USER preread
VOLUME /var/lib/preread
EXPOSE 8042 4242

HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=4 \
    CMD ["/opt/preread/.venv/bin/python", "-m", "preread.container", "health"]
ENTRYPOINT ["/opt/preread/.venv/bin/python", "-m", "preread.container", "start"]
