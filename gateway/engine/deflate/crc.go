package deflate

import "hash/crc32"

// one is the polynomial 1 in the reflected order of CRC-32, where the highest
// bit is the lowest power.
const one = 1 << 31

// times multiplies two polynomials modulo that of CRC-32.
func times(a, b uint32) uint32 {
	product := uint32(0)
	for bit := uint32(one); bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		b = b>>1 ^ crc32.IEEE&-(b&1)
	}
	return product
}

// shift gives what n zero bytes after a text make of its checksum, so that
// checksum(a+b) = shift(checksum(a), len(b)) ^ checksum(b). It takes about as
// many multiplications as n has bits.
func shift(sum uint32, n uint64) uint32 {
	power := uint32(one >> 8) // x^8: one byte
	for ; n != 0; n >>= 1 {
		if n&1 != 0 {
			sum = times(sum, power)
		}
		power = times(power, power)
	}
	return sum
}
