#!/usr/bin/env bash
# Runs compiled root specs in the guest, and a sample of the faults:
#
#   ci/vm/specs.sh FOLDER LABELS FOCUS EVERY [PACKAGE...]
#
# EVERY is of how many calls one meets faults, or nothing where none does. Where packages are
# given and no spec ran at all, that is a failure: a label or a name that nothing has would
# pass else.
set -euo pipefail
bin=$1 labels=$2 focus=$3 every=$4
shift 4
export NETSETGO=$bin/netsetgo NETSETGO_SLOW=20 GOMEGA_DEFAULT_EVENTUALLY_TIMEOUT=20s
failed=0
all_passed=0 all_broken=0
for tests; do
	report=$(mktemp -d)
	# Ginkgo runs them where they are, and they look for files beside their source.
	cp "$bin/$(basename "$tests").test" "$tests"
	(cd "$tests" && "$bin/ginkgo" --procs=2 --no-color --succinct --label-filter="$labels" --focus="$focus" --timeout=3h \
		--output-dir="$report" --junit-report=report.xml "./$(basename "$tests").test") || failed=1
	count() { grep -cE "<testcase name=\"\[It\] .* status=\"($1)\"" "$report/report.xml" || true; }
	passed=$(count passed)
	broken=$(count 'failed|panicked|interrupted|aborted|timedout')
	all_passed=$((all_passed + passed)) all_broken=$((all_broken + broken))
	sed -nE 's/.*<testcase name="([^"]*)".* time="([0-9]{2,}\.[0-9])[0-9]*".*/slow: \2 s \1/p' "$report/report.xml"
	sed -nE 's/.*<testcase name="([^"]*)".* status="(failed|panicked|interrupted|aborted|timedout)".*/failed: \1/p' "$report/report.xml"
done
if [ $((all_passed + all_broken)) -gt 0 ]; then
	echo "specs: $all_passed passed, $all_broken failed"
elif [ $# -gt 0 ]; then
	echo "no spec ran"
	failed=1
fi
if [ -n "$every" ]; then
	"$bin/faults" -binary "$NETSETGO" -sample -every "$every" || failed=1
fi
exit $failed
