// Package peer connects the nodes on one database: engines ask each other, and requests of clients go to the node that
// owns what they are for.
//
// Each node makes a key pair at its start and puts the fingerprint of its certificate into its row of the store. Both sides
// of a connection (TLS 1.3) accept the certificates of living nodes, and no others. So whoever can write the database is
// trusted, nobody else is, and no secret lies in the database.
//
// The package never repeats a request that the other side may have seen, and never passes one on that another node has
// sent. It knows nothing of what is asked.
package peer
