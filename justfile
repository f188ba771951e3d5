# What CI runs.
ci:
    .ci/run

# The tests alone.
test:
    cargo test --locked

# Pictures a second against concurrency.
bench:
    cargo bench --bench download
