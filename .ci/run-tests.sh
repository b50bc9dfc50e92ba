#!/bin/sh
# Runs pytest with the given arguments, or every test: first, on all cores, what needs neither a browser nor networks of
# its own; then what needs a browser, some at a time, as it mostly waits; at last what measures in networks of its own, and
# wants the machine for itself. "No test was collected" (pytest's exit code 5) is a failure with a reason.
# A test stuck in compiled code, where pytest-timeout cannot reach it, ends its process and says where it was.
set -u

# Compiled once, the tests start several seconds sooner.
unset PYTHONDONTWRITEBYTECODE
# Nothing here multiplies matrices, and starting the threads for it is a sixth of the start of every process.
export OPENBLAS_NUM_THREADS=1

run() {
    .venv/bin/pytest -o faulthandler_timeout="$limit" -o faulthandler_exit_on_timeout=true "$@"
    code=$?
    if [ "$code" = 5 ]; then
        echo "No test was selected: look at the arguments ($*)" >&2
    fi
    return "$code"
}

limit=660 # seconds; a little more than the longest time limit that a test of the stage has
if [ "$#" -gt 0 ]; then
    run "$@"
    exit
fi
status=0
limit=130
run -m "not browser and not network and not slow" -n auto --dist worksteal || status=$?
limit=200
run -m "(browser or slow) and not network" -n 3 --dist worksteal || status=$?
limit=660
run -m "network" || status=$?
exit "$status"
