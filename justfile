# All checks of CI.
ci:
    .ci/run

# Only the tests.
test:
    cargo test --locked

# Pictures per second by concurrency.
bench:
    cargo bench --bench download

# Rows per second into and out of each format.
bench-formats:
    cargo bench --bench encode --bench decode

# Streetflow compared with curl, polars, duckdb and others. Creates a Python environment.
compare:
    benches/compare

# Reads the written files with other programs. Creates a Python environment.
readers:
    tests/readers/run
