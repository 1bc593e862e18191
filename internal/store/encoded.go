package store

// Encoded is an account as it is answered with. It can be shared, so that nobody may change it.
type Encoded struct {
	Account  Account
	Revision Revision // of Account
	JSON     []byte   // of Account, with a newline behind it
}
