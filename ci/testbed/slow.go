package testbed

import (
	"os"
	"strconv"
	"time"
)

// Slow is how many times longer than usual things may take: many where the processor is an
// emulated one, as the environment says there.
var Slow = slow()

func slow() time.Duration {
	if times, err := strconv.Atoi(os.Getenv("NETSETGO_SLOW")); err == nil {
		return time.Duration(times)
	}
	return 1
}
