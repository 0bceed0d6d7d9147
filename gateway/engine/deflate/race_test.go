//go:build race

package deflate

// raced tells whether the race detector runs.
const raced = true
