//go:build !v17

package main

// line: 14.2.3 is the older line.
func (r *run) line() {}
