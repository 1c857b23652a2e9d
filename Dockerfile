# The executable is compiled on the builder's own platform, for the platform of the image.
FROM --platform=$BUILDPLATFORM denoland/deno:debian-2.9.6 AS build
WORKDIR /build
COPY deno.json deno.lock ./
COPY src src
COPY scripts scripts
ARG TARGETARCH
ARG COMMIT=unknown
RUN case "$TARGETARCH" in amd64) arch=x86_64 ;; arm64) arch=aarch64 ;; *) exit 1 ;; esac \
  && deno task compile "failover-linux-$arch" --commit "$COMMIT" --out /out \
  && mv "/out/failover-linux-$arch" /out/failover

# Small, and yet with what check and trigger scripts are made of: a shell, ping and curl; and with OpenSSL for TLS.
FROM debian:bookworm-slim
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates curl iputils-ping libssl3 \
  && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/failover /usr/local/bin/failover
RUN ln -s failover /usr/local/bin/flopsy && mkdir /etc/flopsy \
  && install -d -o 65532 -g 65532 /var/lib/failover

ARG VERSION=unknown
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="failover" \
  org.opencontainers.image.description="A proxy that sends all traffic to the first upstream that is up" \
  org.opencontainers.image.source="https://github.com/failover/failover" \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.version="$VERSION" \
  org.opencontainers.image.revision="$COMMIT"

# check-host.sh and triggers.d are used from here if somebody mounts them.
ENV FAILOVER_SCRIPTS_DIR=/etc/flopsy
# What must outlive a restart: a volume, so that it is writable even if nothing else is.
ENV FAILOVER_STATE_DIR=/var/lib/failover
VOLUME /var/lib/failover
# By number, so that an orchestrator can see that it is not root.
USER 65532:65532
EXPOSE 8080
# While it runs it is as healthy as a restart could make it, even when every upstream is down. With an
# admin listener named in the environment it must also answer.
HEALTHCHECK --interval=10s --timeout=3s CMD case "$FAILOVER_ADMIN" in \
  "") true ;; \
  unix:*) curl -fsS -o /dev/null --unix-socket "${FAILOVER_ADMIN#unix:}" http://localhost/__failover/health ;; \
  *) curl -fsS -o /dev/null "http://$FAILOVER_ADMIN/__failover/health" ;; \
  esac
# The program itself is the first process: signals reach it, and nothing stands between.
ENTRYPOINT ["/usr/local/bin/failover"]
