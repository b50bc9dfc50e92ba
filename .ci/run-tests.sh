#!/bin/sh
# Runs pytest with the given arguments, or every test: first, on all cores, what needs neither a browser nor networks of
# its own; then what needs a browser, some at a time, as it mostly waits; at last what measures in networks of its own, and
# wants the machine for itself. "No test was collected" (pytest's exit code 5) is a failure with a reason.
set -u

# Compiled once, the tests start several seconds sooner.
unset PYTHONDONTWRITEBYTECODE

run() {
    .venv/bin/pytest "$@"
    code=$?
    if [ "$code" = 5 ]; then
        echo "No test was selected: look at the arguments ($*)" >&2
    fi
    return "$code"
}

if [ "$#" -gt 0 ]; then
    run "$@"
    exit
fi
status=0
run -m "not browser and not network and not slow" -n auto --dist worksteal || status=$?
run -m "(browser or slow) and not network" -n 2 --dist worksteal || status=$?
run -m "network" || status=$?
exit "$status"
