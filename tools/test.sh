#!/usr/bin/env bash
# The whole suite: test.sh PYTHON PROCESSES. The minutes of sound through a
# sound server and a browser sleep most of their time, so they run beside the
# others, which let them go first.
set -u
live=(tests/integration/test_live.py tests/deploy/web/test_microphone.py)
log=$(mktemp)
set -m  # else what runs beside would ignore the Ctrl-C that it is sent
"$1" -m pytest -q "${live[@]}" >"$log" 2>&1 &
pid=$!
trap 'kill "$pid" 2>/dev/null; rm -f "$log"' EXIT
nice -n 5 "$1" -m pytest -n "$2" --dist worksteal "${live[@]/#/--ignore=}"
status=$?
[ "$status" = 2 ] && exit 2  # Ctrl-C
wait "$pid"
beside=$?
cat "$log"
exit $((status > beside ? status : beside))
