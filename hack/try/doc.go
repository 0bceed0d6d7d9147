// Package try holds no program: only tests of the scripts beside it, which
// bring up clusters for the demo and for the end-to-end suite.
package try
