# slotmux in a small image: `docker build -t slotmux .`, then
# `docker run -e REDIS_URL=redis://node1:6379 -e SLOTMUX_PASSWORD=secret -p 6379:6379 slotmux`.

FROM rust:1-slim-bookworm AS build
# jemalloc is built with make.
RUN apt-get update && apt-get install --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN cargo build --release --locked --bins --package slotmux --package slotmux-load

FROM debian:bookworm-slim
RUN useradd --system --no-create-home --shell /usr/sbin/nologin --uid 10001 slotmux
COPY --from=build /build/target/release/slotmux /build/target/release/slotmux-bench /build/target/release/slotmux-ledger /usr/local/bin/
USER slotmux
# Clients of a container never connect by loopback, and without a password slotmux serves loopback only: set
# SLOTMUX_PASSWORD, or mount a configuration file and name it in SLOTMUX_CONFIG.
ENV SLOTMUX_LISTEN=0.0.0.0:6379 \
    SLOTMUX_ADMIN=0.0.0.0:9121
EXPOSE 6379 9121
# Liveness, not readiness: waiting for the upstream is no reason for a restart.
HEALTHCHECK --interval=10s --timeout=2s --start-period=5s CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/9121 && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r line <&3 && [[ $line == *' 200 '* ]]"]
ENTRYPOINT ["slotmux"]
CMD ["run"]
