# docker build -t streetflow .
# docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" streetflow crawl --sandbox
#
# For Mapillary itself, add `-e MAPILLARY_TOKEN` and a folder for the tile cache:
# `-e STREETFLOW_CACHE_DIR=/data/tiles`.
FROM rust:1.95-slim-trixie AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked -p streetflow-cli && cp target/release/streetflow /streetflow

# The C library, certificates and an unprivileged user; no shell.
FROM gcr.io/distroless/cc-debian13:nonroot
COPY --from=build /streetflow /usr/local/bin/streetflow
WORKDIR /data
ENTRYPOINT ["streetflow"]
CMD ["--help"]
