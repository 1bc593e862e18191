package boltverify

import "math/bits"

// use says what a page is used for.
type use int

const (
	unused use = iota
	inTree
	onFreelist
)

// uses keeps the use of each page. It takes memory for pages that have one, by 64, and none for the others: a sparse
// file of terabytes costs what its real pages cost.
type uses struct {
	pages   uint64 // ids are below it
	claimed uint64 // how many have a use
	blocks  map[uint64]*block
}

// block is the use of 64 pages, one bit each.
type block struct{ inTree, onFreelist uint64 }

func newUses(pages uint64) *uses {
	u := &uses{pages: pages, blocks: make(map[uint64]*block)}
	u.claim(0, inTree) // the meta pages
	u.claim(1, inTree)
	return u
}

// claim gives a page its use, and returns the one it had. Only the first claim counts.
func (u *uses) claim(id uint64, as use) (before use) {
	b := u.blocks[id/64]
	if b == nil {
		b = new(block)
		u.blocks[id/64] = b
	}
	bit := uint64(1) << (id % 64)
	switch {
	case b.inTree&bit != 0:
		return inTree
	case b.onFreelist&bit != 0:
		return onFreelist
	case as == inTree:
		b.inTree |= bit
	default:
		b.onFreelist |= bit
	}
	u.claimed++
	return unused
}

// unclaimed returns the first page without a use, and how many there are.
func (u *uses) unclaimed() (first, n uint64) {
	n = u.pages - u.claimed
	for i := uint64(0); n > 0; i++ {
		b := u.blocks[i]
		if b == nil {
			return i * 64, n
		}
		if at := bits.TrailingZeros64(^(b.inTree | b.onFreelist)); at < 64 {
			return i*64 + uint64(at), n
		}
	}
	return 0, 0
}
