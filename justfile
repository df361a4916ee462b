# Recipes of ./dev. Each takes --help and further arguments.
set positional-arguments := true
set dotenv-load := true
set shell := ["sh", "-eu", "-c"]

heading := "./dev COMMAND [ARGUMENTS] - what takes arguments explains them with --help\n"

[private]
default:
    @just --justfile '{{ justfile() }}' --list --unsorted --list-heading '{{ heading }}'

# Play a match day on everything (--check: half a minute, then audit and stop)
[no-cd]
[no-exit-message]
demo *arguments:
    @exec python -m local demo "$@"

# Start Kafka, PostgreSQL and Redis and stay in front (--platform: everything, --brokers 3)
[no-cd]
[no-exit-message]
up *arguments:
    @exec python -m local up "$@"

# Stop what ./dev up started, from any terminal
[no-cd]
[no-exit-message]
down *arguments:
    @exec python -m local down "$@"

# Show each part and its health (--json); exit 0 only when all is well
[no-cd]
[no-exit-message]
status *arguments:
    @exec python -m local status "$@"

# Make topics and tables on servers that run already (compose.yaml)
[no-cd]
[no-exit-message]
prepare *arguments:
    @exec python -m local prepare "$@"

# Send a vendor's recorded match through everything and print what came out
[no-cd]
[no-exit-message]
replay *arguments:
    @exec python -m local.replay "$@"

# Audit what was sent, stored and delivered; prepare recovery stores
[no-cd]
[no-exit-message]
recovery *arguments:
    @exec python -m recovery "$@"

# Kill, stop, cut and fill everything under load, then check every promise
[no-cd]
[no-exit-message]
torture *arguments:
    @exec python -m tests.torture "$@"

# Run one lane of dataflows.enrich alone, on the servers of ./dev up
[no-exit-message]
enrich *arguments:
    @exec python -m bytewax.run dataflows.enrich "$@"

# Measure throughput and latency on this machine
[no-cd]
[no-exit-message]
bench *arguments:
    @exec python -m bench "$@"

# Lint, then every test; arguments go to pytest (./dev test tests/unit -k fold)
[no-exit-message]
test *arguments: lint page
    @[ $# -gt 0 ] || set -- --numprocesses=2 --dist=loadfile --no-loadscope-reorder; exec python -m pytest "$@"

# Run some tests without lint (./dev pytest tests/unit -k fold)
[no-exit-message]
pytest *arguments: page
    @exec python -m pytest "$@"

# Check style, types, import contracts and SQL
[no-exit-message]
lint:
    ruff check
    ruff format --check
    mypy
    lint-imports
    sqlfluff lint --quiet storage/migrations

# Rewrite the code in the project's style
[no-exit-message]
fmt:
    ruff check --fix-only --quiet
    ruff format

# Resolve the dependencies anew and write requirements.lock
[no-exit-message]
lock:
    uv lock --upgrade --quiet
    uv export --quiet --frozen --no-emit-project --all-groups --no-header --no-annotate --output-file requirements.lock
    @echo wrote requirements.lock

# Resolve Kafka's jars anew and write local/servers/kafka.lock.toml
[no-exit-message]
lock-jars:
    python -m local.servers.jars

# The page's libraries, from npm, into web/vendor (does nothing when they are there)
[private]
page:
    @python -m local.page_libraries
