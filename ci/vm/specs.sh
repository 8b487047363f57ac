#!/usr/bin/env bash
# Runs compiled root specs in the guest, and the faults: specs.sh FOLDER LABEL FOCUS [FAULTS]
set -euo pipefail
export NETSETGO=$1/netsetgo
failed=0
for tests in configurer/kernel cmd/netsetgo; do
	report=$(mktemp -d)
	(cd "$tests" && "$1/ginkgo" --procs="$(nproc)" --no-color --succinct --label-filter="$2" --focus="$3" --timeout=3h \
		--output-dir="$report" --junit-report=report.xml "$1/$(basename "$tests").test") || failed=1
	count() { grep -cE "<testcase .* status=\"($1)\"" "$report/report.xml" || true; }
	echo "specs: $tests $(count passed) passed, $(count 'failed|panicked|interrupted|aborted|timedout') failed"
	sed -nE 's/.*<testcase name="([^"]*)".* time="([0-9]{2,}\.[0-9])[0-9]*".*/slow: \2 s \1/p' "$report/report.xml"
done
if [ -n "${4:-}" ]; then
	"$1/faults" -binary "$NETSETGO" -sample -only "up, on a bridge" || failed=1
fi
exit $failed
