# What CI runs.
ci:
    .ci/run

# The tests alone.
test:
    cargo test --locked

# Pictures a second against concurrency.
bench:
    cargo bench --bench download

# Rows a second into and out of each format.
bench-formats:
    cargo bench --bench encode --bench decode

# Streetflow beside curl, polars, duckdb and others; makes a Python environment.
compare:
    benches/compare

# Our files against readers that are not ours; makes a Python environment.
readers:
    tests/readers/run
