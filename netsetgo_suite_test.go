package netsetgo_test

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestNetsetgo(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "package netsetgo")
}
