package handlers

// Values of headers that answers share; nobody changes them.
var (
	jsonMedia  = []string{"application/json"}
	noStore    = []string{"no-store"}
	revalidate = []string{"private, no-cache"} // for the client's own cache, which asks with the ETag each time
	noSniff    = []string{"nosniff"}
	varyAccept = []string{"Accept"}
)
