package index

import "strings"

// Signature is a set of bits: one for each group of three bytes (in small letters) that stands in a text, by its hash.
// Its length is a power of two, and grows with the text.
type Signature []uint64

func sign(text string) Signature {
	bits := 64
	for bits < len(text)*perGram/4 && bits < maxBits {
		bits *= 2
	}
	made := make(Signature, bits/64)
	small := strings.ToLower(text)
	for at := 0; at+3 <= len(small); at++ {
		word, bit := made.place(small[at : at+3])
		made[word] |= bit
	}
	return made
}

// May tells whether a text with this signature can hold `part`, in whatever case. No means no; yes may be wrong.
func (s Signature) May(part string) bool {
	small := strings.ToLower(part)
	for at := 0; at+3 <= len(small); at++ {
		if word, bit := s.place(small[at : at+3]); s[word]&bit == 0 {
			return false
		}
	}
	return true
}

func (s Signature) place(gram string) (word int, bit uint64) {
	hash := uint64(gram[0])<<16 | uint64(gram[1])<<8 | uint64(gram[2])
	hash = hash * 11400714819323198485 >> 40
	hash %= uint64(len(s)) * 64
	return int(hash / 64), 1 << (hash % 64)
}
