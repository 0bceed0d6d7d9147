//go:build race

package ring

// raced tells whether the race detector runs.
const raced = true
