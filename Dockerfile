# docker build -t streetflow .
# docker run --rm -v "$PWD:/data" -e MAPILLARY_TOKEN streetflow crawl --bbox 33.30,35.13,33.40,35.20
FROM rust:1.95-slim-trixie AS build
# A C compiler for zstd and ring.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked && cp target/release/streetflow /streetflow

# glibc, certificates and a user without rights; no shell.
FROM gcr.io/distroless/cc-debian13:nonroot
COPY --from=build /streetflow /usr/local/bin/streetflow
WORKDIR /data
ENTRYPOINT ["streetflow"]
CMD ["--help"]
