// Package deflate makes one gzip member for each connection out of pieces that
// many connections share.
//
// A piece is one batch of a group's text, encoded as byte-aligned deflate
// blocks. It may refer to the pieces written just before it, and such a form is
// given only to members that have had all of those in an unbroken row; others
// get a form that refers to less, or to nothing. All forms of a piece have the
// same plain text, so a member's checksum does not depend on which it got.
//
// It is pure: no I/O, no clock, no locks. It knows neither events nor streams,
// only bytes and their order. Outputs, pieces, members and the encoder of one
// loop belong to that loop. It is called by fanout.
package deflate
