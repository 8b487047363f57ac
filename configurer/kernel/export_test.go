package kernel

// EncodeFirewall is for golden specs.
var EncodeFirewall = encodeFirewall
