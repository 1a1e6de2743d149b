FROM rust:1.95-bookworm AS build
WORKDIR /build

# Builds the dependencies with an empty crate: the layer is cached until Cargo.toml or Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && touch src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --profile dist --locked --bin mlops-service \
    && rm -r src

# Migrations and templates are embedded in the binary.
COPY migrations migrations
COPY templates templates
COPY src src
# Cargo compares modification times, and a copied file may be older than the empty crate built above.
RUN touch src/lib.rs src/main.rs \
    && cargo build --profile dist --locked --bin mlops-service

# The directory of the SQLite file; the final stage has no shell to create it.
RUN mkdir -p /var/lib/mlops-service


FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/dist/mlops-service /usr/local/bin/mlops-service
COPY --from=build --chown=65532:65532 /var/lib/mlops-service /var/lib/mlops-service

# Numeric, so that Kubernetes can verify that it is not root.
USER 65532:65532

# The default database is data/mlops.db in this directory.
WORKDIR /var/lib/mlops-service
VOLUME /var/lib/mlops-service

# Production refuses to start without MLOPS_API_KEY. With a key the service listens on all addresses anyway; setting
# SERVICE_HOST here would expose a service without one to everyone. To try it without a key:
#   docker run -e ENVIRONMENT=development -e SERVICE_HOST=0.0.0.0 -p 127.0.0.1:5001:5001 mlops-service
ENV ENVIRONMENT=production

EXPOSE 5001
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["/usr/local/bin/mlops-service", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/mlops-service"]
