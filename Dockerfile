# The image that CI and clusters run: `docker build --tag quasarcurves .`, for NVIDIA cards with `--build-arg LOCK=gpu`.
# From what changes least to what changes most: a changed workflow file touches the last layers only, which takes seconds.
ARG BASE_IMAGE=debian:bookworm-slim
FROM ${BASE_IMAGE}

# no versions: a stable release changes its Python for security fixes only, and keeps no older one
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*

# cpu, gpu, or cloud: cpu and what reads and writes object storage
ARG LOCK=cpu
COPY requirements/${LOCK}.txt /opt/requirements.txt
COPY container/strip.sh container/bom.py /opt/
# one step: what is taken out again must be in no layer. What is left is compiled, on all cores, which pip would not use
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --no-compile --disable-pip-version-check --require-hashes \
        --requirement /opt/requirements.txt \
    && sh /opt/strip.sh /opt/venv \
    && /opt/venv/bin/python /opt/bom.py > /opt/bom.json \
    && /opt/venv/bin/python -m compileall -qq -j 0 /opt/venv/lib \
    && rm -rf /tmp/* /root/.cache

# HOME and all caches are where every user can write, also on a read-only root with a /tmp of its own
ENV PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONPATH=/opt/quasarcurves/workflow \
    HOME=/tmp \
    USER=quasarcurves \
    XDG_CACHE_HOME=/tmp/.cache \
    MPLCONFIGDIR=/tmp/.cache/matplotlib \
    TF_CPP_MIN_LOG_LEVEL=2
RUN useradd --uid 1000 --home-dir /tmp --no-create-home quasarcurves \
    && install --directory --mode 1777 /work
LABEL org.opencontainers.image.title="quasarcurves" \
      org.opencontainers.image.description="Learning curves of QuasarNET, step by step" \
      org.opencontainers.image.licenses="MIT"
WORKDIR /work
# a study runs and ends: there is no service whose health could be asked for
HEALTHCHECK NONE
ENTRYPOINT ["run-study"]

COPY container/run-study container/quasarcurves /usr/local/bin/
COPY Snakefile config.yaml /opt/quasarcurves/
COPY envs /opt/quasarcurves/envs
COPY profiles /opt/quasarcurves/profiles
COPY workflow /opt/quasarcurves/workflow
# readable whatever the umask of the checkout; compiled, as the user cannot write beside the modules
RUN chmod -R a+rX /opt/quasarcurves /usr/local/bin && python -m compileall -q /opt/quasarcurves/workflow
USER 1000
