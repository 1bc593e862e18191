package boltverify

import "math/bits"

// use says what a page is used for.
type use int

const (
	unused use = iota
	inTree     // or a part of the list of free pages itself
	onFreelist
)

// uses keeps the use of each page: one bit for each use, of 64 pages in one word. Pages without a use take no memory,
// so that a sparse file of terabytes costs what its real pages cost.
type uses struct {
	bits    [onFreelist + 1]map[uint64]uint64
	claimed uint64 // how many pages have a use
}

func newUses() *uses {
	u := &uses{}
	u.bits[inTree], u.bits[onFreelist] = make(map[uint64]uint64), make(map[uint64]uint64)
	u.claim(0, inTree) // the meta pages
	u.claim(1, inTree)
	return u
}

// claim gives a page its use, and returns the one it had. Only the first claim counts.
func (u *uses) claim(id uint64, as use) (before use) {
	word, bit := id/64, uint64(1)<<(id%64)
	for before = onFreelist; before > unused; before-- {
		if u.bits[before][word]&bit != 0 {
			return before
		}
	}
	u.bits[as][word] |= bit
	u.claimed++
	return unused
}

// firstUnused returns the lowest id without a use.
func (u *uses) firstUnused() uint64 {
	for word := uint64(0); ; word++ {
		if all := u.bits[inTree][word] | u.bits[onFreelist][word]; all != ^uint64(0) {
			return word*64 + uint64(bits.TrailingZeros64(^all))
		}
	}
}
