package wire

import "unicode/utf8"

const hexDigits = "0123456789abcdef"

// appendEscaped appends s as the inside of a JSON string. Bytes that are not
// UTF-8 become U+FFFD, so that the result is always one line of valid text.
// The escapes it makes are those that unescapeAt reads.
func appendEscaped[S string | []byte](dst []byte, s S) []byte {
	from := 0
	for i := 0; i < len(s); {
		b := s[i]
		if b >= utf8.RuneSelf {
			size := runeLen(s[i:])
			if size > 0 {
				i += size
				continue
			}
			dst = append(dst, s[from:i]...)
			dst = append(dst, "\uFFFD"...)
			i++
			from = i
			continue
		}
		if b >= ' ' && b != '"' && b != '\\' {
			i++
			continue
		}
		dst = append(dst, s[from:i]...)
		dst = appendEscape(dst, b)
		i++
		from = i
	}
	return append(dst, s[from:]...)
}

// runeLen gives the length of the rune that s begins with, 0 if it is none.
func runeLen[S string | []byte](s S) int {
	var buf [utf8.UTFMax]byte
	n := copy(buf[:], s)
	r, size := utf8.DecodeRune(buf[:n])
	if r == utf8.RuneError && size <= 1 {
		return 0
	}
	return size
}

func appendEscape(dst []byte, b byte) []byte {
	switch b {
	case '"', '\\':
		return append(dst, '\\', b)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
}

// unescapeAt reads the escape that s begins with and gives the byte it stands
// for and its length. It knows what appendEscape makes and nothing else.
func unescapeAt(s []byte) (b byte, size int) {
	switch s[1] {
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		return unhex(s[4])<<4 | unhex(s[5]), 6
	}
	return s[1], 2
}

func unhex(b byte) byte {
	if b >= 'a' {
		return b - 'a' + 10
	}
	return b - '0'
}

// appendCompact appends a JSON value without the white space between its
// tokens. It drops control bytes everywhere: valid JSON has none inside
// strings, and if a caller passed something else, it could still not begin a
// new line in a stream.
func appendCompact(dst, src []byte) []byte {
	from, inString := 0, false
	for i := 0; i < len(src); i++ {
		b := src[i]
		switch {
		case b > ' ' && b != '"' && b != '\\':
			continue
		case b == '"':
			inString = !inString
			continue
		case b == '\\':
			// The next byte belongs to the escape, unless it must not stand.
			if i+1 < len(src) && src[i+1] >= ' ' {
				i++
			}
			continue
		case b == ' ' && inString:
			continue
		}
		dst = append(dst, src[from:i]...)
		from = i + 1
	}
	return append(dst, src[from:]...)
}
