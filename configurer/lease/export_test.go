package lease

// Hashed makes a name of any text, as others are read.
var Hashed = hashed
