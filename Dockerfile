# One static binary in an empty image. Build: docker build --tag gatepost .
# Builds natively for the platform it runs on (linux/amd64, linux/arm64).

FROM rust:1.95-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates musl-tools \
    && rm -rf /var/lib/apt/lists/* \
    && rustup target add "$(uname -m)-unknown-linux-musl"
ENV CC_x86_64_unknown_linux_musl=musl-gcc \
    CC_aarch64_unknown_linux_musl=musl-gcc
WORKDIR /build
COPY . .
# `scripts/dist TARGET` takes two builds and a load to make a faster one: docs/performance.md
RUN cargo build --profile dist --locked --target "$(uname -m)-unknown-linux-musl" \
    && cp "target/$(uname -m)-unknown-linux-musl/dist/gatepost" /gatepost

FROM scratch
# Public roots are compiled in too; this file is for SSL_CERT_FILE and for mounting over.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /gatepost /gatepost
USER 65532:65532
# ingress, forward auth, health. Egress and admin stay on loopback.
EXPOSE 7400 7401 7404
STOPSIGNAL SIGTERM
# ECS ignores this one: its task definition states the same.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/gatepost", "health"]
ENTRYPOINT ["/gatepost"]
CMD ["serve"]
