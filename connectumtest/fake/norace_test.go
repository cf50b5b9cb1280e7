//go:build !race

package fake_test

// seeds is how many messages of each type the property tests make.
const seeds = 1000
