#!/bin/sh
# Runs pytest with the given arguments. "No test was collected" (pytest's exit code 5) is a failure with a reason.
set -u

# Compiled once, the tests start several seconds sooner.
unset PYTHONDONTWRITEBYTECODE

.venv/bin/pytest "$@"
code=$?
if [ "$code" = 5 ]; then
    echo "No test was selected: look at the arguments ($*)" >&2
fi
exit "$code"
