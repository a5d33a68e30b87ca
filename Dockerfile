# Two images from one build. Without --target comes the reconciler; `--target gateway` is the data plane alone.
ARG PYTHON=python:3.11.14-slim-bookworm

# Installs into a folder of its own, so that neither compilers nor sources reach the images.
FROM ${PYTHON} AS build
WORKDIR /src
RUN ["python", "-m", "venv", "/opt/stoa-gitops"]
COPY pyproject.toml constraints.txt README.md ./
COPY schemas/ schemas/
COPY bootstrap/ bootstrap/
COPY proxy/ proxy/
COPY stoa_gitops/ stoa_gitops/
RUN ["/opt/stoa-gitops/bin/pip", "install", "--no-cache-dir", "--disable-pip-version-check", "--constraint", "constraints.txt", "."]

# The user is a number, because Kubernetes cannot tell from a name that it is not root.
FROM ${PYTHON} AS base
RUN groupadd --gid 10001 stoa \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/stoa-gitops --shell /usr/sbin/nologin stoa \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/stoa-gitops
COPY --from=build /opt/stoa-gitops /opt/stoa-gitops
ENV PATH=/opt/stoa-gitops/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
STOPSIGNAL SIGTERM

FROM base AS gateway
ENV STOA_HOST=0.0.0.0 \
    STOA_PORT=8080 \
    STOA_STATE_DIR=/var/lib/stoa-gitops
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 CMD ["stoa-gitops", "check", "http://127.0.0.1:8080/health"]
ENTRYPOINT ["python", "-m", "stoa_proxy"]

FROM base AS reconciler
# git reads catalogs from repositories; the client is for ssh:// addresses.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git openssh-client \
    && rm -rf /var/lib/apt/lists/*
ENV HOME=/var/lib/stoa-gitops \
    STOA_GITOPS_CATALOG=/catalog \
    STOA_GITOPS_STATE=/var/lib/stoa-gitops \
    STOA_GITOPS_CONTROL_LISTEN=0.0.0.0:8000 \
    STOA_GITOPS_GATEWAY_LISTEN=0.0.0.0:8080
USER 10001:10001
VOLUME ["/var/lib/stoa-gitops"]
EXPOSE 8000 8001 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["stoa-gitops", "check", "http://127.0.0.1:8000/health"]
ENTRYPOINT ["stoa-gitops"]
CMD ["run"]
