package configurer

// What nobody outside decides on, but specs compare with.
var (
	ErrAgain   = errAgain
	ErrForeign = errForeign
	ErrSwapped = errSwapped
	ErrTimeout = errTimeout
)

const Grace = grace
